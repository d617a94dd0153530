// Evaluates the expressions of cel.json as Flux's controllers do, and prints the table anew.
package main

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/util/json"
)

type table struct {
	Object      map[string]any    `json:"object"`
	Expressions map[string]string `json:"expressions"`
}

func value(text string, object map[string]any) string {
	expression, err := cel.NewExpression(text)
	if err != nil {
		return "no expression"
	}
	result, err := expression.EvaluateBoolean(context.Background(), object)
	if err != nil {
		return "no value"
	}
	return fmt.Sprint(result)
}

func main() {
	data, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	var all table
	if err := json.Unmarshal(data, &all); err != nil {
		panic(err)
	}
	for text := range all.Expressions {
		all.Expressions[text] = value(text, all.Object)
	}
	var out bytes.Buffer
	encoder := stdjson.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(all); err != nil {
		panic(err)
	}
	os.Stdout.Write(out.Bytes())
}
