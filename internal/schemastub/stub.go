package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"mcpgateway/internal/schemastub/typings"
)

// stub answers Terraform. What it does not answer, Terraform 1.11 does not ask of a provider that claims nothing.
type stub struct {
	tfprotov6.ProviderServer // nil: a method that is not below ends the process, and says which

	name      string
	schema    *typings.Schema
	provider  *tfprotov6.Schema
	resources map[string]*tfprotov6.Schema
	data      map[string]*tfprotov6.Schema
	region    string
}

func newStub(name string, from *typings.Schema) (*stub, error) {
	s := &stub{name: name, schema: from, resources: map[string]*tfprotov6.Schema{}, data: map[string]*tfprotov6.Schema{}, region: "eu-central-1"}
	inner, err := body(from.Provider)
	if err != nil {
		return nil, fmt.Errorf("schema of the provider: %w", err)
	}
	s.provider = &tfprotov6.Schema{Block: inner}
	for into, blocks := range map[*map[string]*tfprotov6.Schema]map[string]*typings.Block{&s.resources: from.Resources, &s.data: from.Data} {
		for name, b := range blocks {
			if inner, err = body(b); err != nil {
				return nil, fmt.Errorf("schema of %s: %w", name, err)
			}
			(*into)[name] = &tfprotov6.Schema{Block: inner}
		}
	}
	return s, nil
}

// GetMetadata implements tfprotov6.ProviderServer.
func (s *stub) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	out := &tfprotov6.GetMetadataResponse{}
	for name := range s.resources {
		out.Resources = append(out.Resources, tfprotov6.ResourceMetadata{TypeName: name})
	}
	for name := range s.data {
		out.DataSources = append(out.DataSources, tfprotov6.DataSourceMetadata{TypeName: name})
	}
	return out, nil
}

// GetProviderSchema implements tfprotov6.ProviderServer.
func (s *stub) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	return &tfprotov6.GetProviderSchemaResponse{Provider: s.provider, ResourceSchemas: s.resources, DataSourceSchemas: s.data}, nil
}

// GetResourceIdentitySchemas implements tfprotov6.ProviderServer.
func (s *stub) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

// ValidateProviderConfig implements tfprotov6.ProviderServer.
func (s *stub) ValidateProviderConfig(_ context.Context, r *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: r.Config}, nil
}

// ConfigureProvider implements tfprotov6.ProviderServer.
func (s *stub) ConfigureProvider(_ context.Context, r *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	config, err := r.Config.Unmarshal(s.provider.ValueType())
	if err != nil {
		return nil, err
	}
	if region := textAt(config, "region"); region != "" {
		s.region = region
	}
	return &tfprotov6.ConfigureProviderResponse{}, nil
}

// StopProvider implements tfprotov6.ProviderServer.
func (s *stub) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

// ValidateResourceConfig implements tfprotov6.ProviderServer.
func (s *stub) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

// ValidateDataResourceConfig implements tfprotov6.ProviderServer.
func (s *stub) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

// UpgradeResourceState implements tfprotov6.ProviderServer.
func (s *stub) UpgradeResourceState(_ context.Context, r *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	t := s.resources[r.TypeName].ValueType()
	state, err := r.RawState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	upgraded, err := tfprotov6.NewDynamicValue(t, state)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &upgraded}, err
}

// ReadResource implements tfprotov6.ProviderServer: what was made is as it was.
func (s *stub) ReadResource(_ context.Context, r *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return &tfprotov6.ReadResourceResponse{NewState: r.CurrentState}, nil
}

// PlanResourceChange implements tfprotov6.ProviderServer: what nobody said of something new is known after it is made.
func (s *stub) PlanResourceChange(_ context.Context, r *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	t := s.resources[r.TypeName].ValueType()
	prior, err := r.PriorState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	planned, err := r.ProposedNewState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	if prior.IsNull() && !planned.IsNull() {
		if planned, err = fill(s.schema.Resources[r.TypeName], planned, unknown); err != nil {
			return nil, err
		}
	}
	out, err := tfprotov6.NewDynamicValue(t, planned)
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: &out}, err
}

// ApplyResourceChange implements tfprotov6.ProviderServer: what is not known yet is made up.
func (s *stub) ApplyResourceChange(_ context.Context, r *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	t := s.resources[r.TypeName].ValueType()
	state, err := r.PlannedState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	if !state.IsNull() {
		m := s.maker(r.TypeName, state)
		if state, err = tftypes.Transform(state, func(p *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
			if v.IsKnown() {
				return v, nil
			}
			return m.value(lastName(p), v.Type())
		}); err != nil {
			return nil, err
		}
	}
	out, err := tfprotov6.NewDynamicValue(t, state)
	return &tfprotov6.ApplyResourceChangeResponse{NewState: &out}, err
}

// ReadDataSource implements tfprotov6.ProviderServer.
func (s *stub) ReadDataSource(_ context.Context, r *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	t := s.data[r.TypeName].ValueType()
	config, err := r.Config.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	if r.TypeName == "external" {
		return external(t, config)
	}
	m := s.maker(r.TypeName, config)
	state, err := fill(s.schema.Data[r.TypeName], config, m.value)
	if err != nil {
		return nil, err
	}
	out, err := tfprotov6.NewDynamicValue(t, state)
	return &tfprotov6.ReadDataSourceResponse{State: &out}, err
}

// problem is an error that Terraform shows.
func problem(summary, detail string) []*tfprotov6.Diagnostic {
	return []*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: summary, Detail: detail}}
}

// textOf is a value as JSON, to be hashed.
func textOf(v tftypes.Value) string {
	text, err := json.Marshal(v.String())
	if err != nil {
		return ""
	}
	return string(text)
}
