// Reads the cases of values.json as Flux does, and prints the table anew.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"

	"github.com/fluxcd/pkg/chartutil"
	"github.com/opencontainers/go-digest"
	"helm.sh/helm/v4/pkg/chart/common"
)

type set struct {
	Values  map[string]any `json:"values,omitempty"`
	Path    string         `json:"path"`
	Value   string         `json:"value"`
	Literal bool           `json:"literal,omitempty"`
	Result  map[string]any `json:"result,omitempty"`
	Refused bool           `json:"refused,omitempty"`
}

type encoded struct {
	YAML   string `json:"yaml"`
	Text   string `json:"text"`
	Digest string `json:"digest"`
}

type table struct {
	Sets    []set     `json:"sets"`
	Encoded []encoded `json:"encoded"`
}

func copied(values map[string]any) map[string]any {
	if values == nil {
		return map[string]any{}
	}
	data, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	result := map[string]any{}
	if err := json.Unmarshal(data, &result); err != nil {
		panic(err)
	}
	return result
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
	for i := range all.Sets {
		one := &all.Sets[i]
		result := copied(one.Values)
		work := chartutil.ReplacePathValue
		if one.Literal {
			work = chartutil.ReplacePathLiteralValue
		}
		one.Refused = work(result, one.Path, one.Value) != nil
		one.Result = result
	}
	for i := range all.Encoded {
		one := &all.Encoded[i]
		values, err := common.ReadValues([]byte(one.YAML))
		if err != nil {
			panic(err)
		}
		var text bytes.Buffer
		if len(values) > 0 {
			if err := chartutil.Encode(&text, values, chartutil.SortMapSlice); err != nil {
				panic(err)
			}
		}
		one.Text = text.String()
		one.Digest = chartutil.DigestValues(digest.Canonical, values).String()
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(all); err != nil {
		panic(err)
	}
	os.Stdout.Write(out.Bytes())
}
