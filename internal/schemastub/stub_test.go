package main

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"mcpgateway/internal/schemastub/typings"
)

func thing(t *testing.T) (*stub, tftypes.Type) {
	t.Helper()
	text := func(required, optional, computed bool) *typings.Attribute {
		return &typings.Attribute{Type: "string", Required: required, Optional: optional, Computed: computed}
	}
	s, err := newStub("aws", &typings.Schema{
		Provider: &typings.Block{Attributes: map[string]*typings.Attribute{"region": text(false, true, false)}},
		Resources: map[string]*typings.Block{"aws_s3_bucket": {
			Attributes: map[string]*typings.Attribute{"bucket": text(true, false, false), "arn": text(false, false, true), "note": text(false, true, false), "region": text(false, true, true)},
			Blocks: map[string]*typings.Nested{"rule": {Nesting: typings.List, Block: typings.Block{Attributes: map[string]*typings.Attribute{
				"id": text(false, true, true)}}}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, s.resources["aws_s3_bucket"].ValueType()
}

func bucket(t tftypes.Type) tftypes.Value {
	text := func(v any) tftypes.Value { return tftypes.NewValue(tftypes.String, v) }
	rules := t.(tftypes.Object).AttributeTypes["rule"]
	return tftypes.NewValue(t, map[string]tftypes.Value{"bucket": text("b"), "arn": text(nil), "note": text(nil), "region": text(nil),
		"rule": tftypes.NewValue(rules, []tftypes.Value{tftypes.NewValue(rules.(tftypes.List).ElementType, map[string]tftypes.Value{"id": text(nil)})})})
}

func dynamic(t *testing.T, of tftypes.Type, v tftypes.Value) *tfprotov6.DynamicValue {
	t.Helper()
	d, err := tfprotov6.NewDynamicValue(of, v)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

// What is computed is unknown until it is made, and then has the form that AWS gives it; what is only optional stays unset.
func TestPlanAndApply(t *testing.T) {
	s, of := thing(t)
	region := tftypes.NewValue(s.provider.ValueType(), map[string]tftypes.Value{"region": tftypes.NewValue(tftypes.String, "eu-west-1")})
	if _, err := s.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: dynamic(t, s.provider.ValueType(), region)}); err != nil {
		t.Fatal(err)
	}
	plan, err := s.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{TypeName: "aws_s3_bucket",
		PriorState: dynamic(t, of, tftypes.NewValue(of, nil)), ProposedNewState: dynamic(t, of, bucket(of))})
	if err != nil {
		t.Fatal(err)
	}
	planned, err := plan.PlannedState.Unmarshal(of)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(planned.String(), `"arn":tftypes.String<unknown>`) || !strings.Contains(planned.String(), `"note":tftypes.String<null>`) ||
		!strings.Contains(planned.String(), `"id":tftypes.String<unknown>`) {
		t.Error(planned)
	}
	made, err := s.ApplyResourceChange(t.Context(), &tfprotov6.ApplyResourceChangeRequest{TypeName: "aws_s3_bucket", PlannedState: plan.PlannedState})
	if err != nil {
		t.Fatal(err)
	}
	state, err := made.NewState.Unmarshal(of)
	if err != nil {
		t.Fatal(err)
	}
	if textAt(state, "arn") != "arn:aws:s3:::b" || textAt(state, "region") != "eu-west-1" || !state.IsFullyKnown() {
		t.Error(state)
	}
	again, err := s.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{TypeName: "aws_s3_bucket", PriorState: made.NewState, ProposedNewState: made.NewState})
	if err != nil {
		t.Fatal(err)
	}
	if same, err := again.PlannedState.Unmarshal(of); err != nil || !same.Equal(state) {
		t.Errorf("a second plan: %v, %v", same, err)
	}
}

func TestTypes(t *testing.T) {
	for text, want := range map[typings.Type]string{"string": "tftypes.String", "map(list(string))": "tftypes.Map[tftypes.List[tftypes.String]]", "set(number)": "tftypes.Set[tftypes.Number]"} {
		if got, err := typeOf(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []typings.Type{"", "text", "bag(string)", "list(text)"} {
		if got, err := typeOf(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
