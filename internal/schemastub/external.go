package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// external is the one data source that does what the provider's does (hashicorp/external): it runs a program of this machine.
func external(t tftypes.Type, config tftypes.Value) (*tfprotov6.ReadDataSourceResponse, error) {
	var fields map[string]tftypes.Value
	var words []tftypes.Value
	var query map[string]tftypes.Value
	if err := errors.Join(config.As(&fields), fields["program"].As(&words), fields["query"].As(&query)); err != nil {
		return nil, err
	}
	argv := make([]string, len(words))
	for i := range words {
		if err := words[i].As(&argv[i]); err != nil {
			return nil, err
		}
	}
	asked := map[string]string{}
	for k, v := range query {
		var text string
		if err := v.As(&text); err != nil {
			return nil, err
		}
		asked[k] = text
	}
	in, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdin, c.Stdout, c.Stderr, c.Dir = bytes.NewReader(in), &stdout, &stderr, textAt(config, "working_dir")
	if err := c.Run(); err != nil {
		return &tfprotov6.ReadDataSourceResponse{State: nil, Diagnostics: problem("External Program Execution Failed",
			strings.Join(argv, " ")+"\n\n"+stderr.String()+"\n"+err.Error())}, nil
	}
	answer := map[string]string{}
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		return &tfprotov6.ReadDataSourceResponse{Diagnostics: problem("Unexpected External Program Results", err.Error())}, nil
	}
	result := map[string]tftypes.Value{}
	for k, v := range answer {
		result[k] = tftypes.NewValue(tftypes.String, v)
	}
	fields["result"] = tftypes.NewValue(tftypes.Map{ElementType: tftypes.String}, result)
	fields["id"] = tftypes.NewValue(tftypes.String, "-")
	out, err := tfprotov6.NewDynamicValue(t, tftypes.NewValue(t, fields))
	return &tfprotov6.ReadDataSourceResponse{State: &out}, err
}
