// Reads and writes the cases of yaml.json with sigs.k8s.io/yaml, and prints the table anew.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// read is a text and what comes out as JSON. A text that is no UTF-8 stands in Base64.
type read struct {
	YAML    string `json:"yaml"`
	Base64  bool   `json:"base64,omitempty"`
	JSON    string `json:"json,omitempty"`
	Refused string `json:"refused,omitempty"`
	// Strict says that the strict reading refuses it and the plain one does not.
	Strict bool `json:"strict,omitempty"`
}

// field is a scalar and what a field of type string makes of it.
type field struct {
	YAML string `json:"yaml"`
	Text string `json:"text"`
}

// bomb is aliases of aliases: each of Depth lists names the one before Width times; Tail plain items come before.
type bomb struct {
	Width   int  `json:"width"`
	Depth   int  `json:"depth"`
	Tail    int  `json:"tail,omitempty"`
	Merge   bool `json:"merge,omitempty"`
	Refused bool `json:"refused"`
}

// written is a value and the text that is made of it, if one is.
type written struct {
	Value any    `json:"value"`
	Text  string `json:"text"`
}

type table struct {
	Reads   []read    `json:"reads"`
	Fields  []field   `json:"fields"`
	Bombs   []bomb    `json:"bombs"`
	Written []written `json:"written"`
}

func (b bomb) text() string {
	var out strings.Builder
	if b.Tail > 0 {
		out.WriteString("plain: [" + strings.Repeat("1,", b.Tail) + "1]\n")
	}
	if b.Merge {
		out.WriteString("a0: &a0 {k: v}\n")
	} else {
		out.WriteString("a0: &a0 x\n")
	}
	for level := 1; level <= b.Depth; level++ {
		names := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", level-1), b.Width), ",")
		if b.Merge {
			fmt.Fprintf(&out, "a%d: &a%d {<<: [%s]}\n", level, level, names)
		} else {
			fmt.Fprintf(&out, "a%d: &a%d [%s]\n", level, level, names)
		}
	}
	return out.String()
}

func main() {
	data, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	var all table
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&all); err != nil {
		panic(err)
	}
	for i := range all.Reads {
		one := &all.Reads[i]
		content := []byte(one.YAML)
		if one.Base64 {
			if content, err = base64.StdEncoding.DecodeString(one.YAML); err != nil {
				panic(err)
			}
		}
		one.JSON, one.Refused, one.Strict = "", "", false
		result, err := yaml.YAMLToJSON(content)
		if err != nil {
			one.Refused = err.Error()
			continue
		}
		one.JSON = string(result)
		_, err = yaml.YAMLToJSONStrict(content)
		one.Strict = err != nil
	}
	for i := range all.Fields {
		one := &all.Fields[i]
		var target struct {
			Field string `json:"field"`
		}
		if err := yaml.Unmarshal([]byte("field: "+one.YAML+"\n"), &target); err != nil {
			panic(err)
		}
		one.Text = target.Field
	}
	for i := range all.Bombs {
		one := &all.Bombs[i]
		_, err := yaml.YAMLToJSON([]byte(one.text()))
		one.Refused = err != nil
	}
	for i := range all.Written {
		one := &all.Written[i]
		// Some control characters get no further than its own reader of JSON: then there is no text to compare.
		result, _ := yaml.Marshal(one.Value)
		one.Text = string(result)
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
