package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"mcpgateway/internal/mcp"
)

// checkParams refuses new arguments where a header still repeats an old one. Which argument a header repeats stands in the
// tool's schema, which nobody here has; so every value that the header says must stand where it stood.
func checkParams(h http.Header, before, after mcp.Token) error {
	if bytes.Equal(before, after) {
		return nil
	}
	var old, made map[string]string // read once there is a header to compare
	for name, values := range h {
		if !strings.HasPrefix(name, mcp.ParamHeaders) {
			continue
		}
		if old == nil {
			old, made = map[string]string{}, map[string]string{}
			if err := flatten(before, old); err != nil {
				return err
			}
			if err := flatten(after, made); err != nil {
				return err
			}
		}
		said, ok := mcp.RepeatedParam(values[0])
		for at, value := range old {
			if (!ok || value == said) && made[at] != value {
				return fmt.Errorf("an argument changed that the header %s may repeat", name)
			}
		}
	}
	return nil
}

// flatten puts the single values of arguments into a map, by where they stand, as headers write them.
func flatten(arguments mcp.Token, into map[string]string) error {
	if arguments == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(arguments))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	walk("", v, into)
	return nil
}

func walk(at string, v any, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			walk(at+"/"+strconv.Quote(name), member, into)
		}
	case []any:
		for i, element := range v {
			walk(at+"/"+strconv.Itoa(i), element, into)
		}
	case string:
		into[at] = v
	case nil:
		into[at] = "null"
	default:
		into[at] = fmt.Sprint(v)
	}
}
