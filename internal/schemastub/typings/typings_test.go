package typings

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// generated is what CDK for Terraform makes of a resource, shortened to what is read.
const generated = `
export interface ThingConfig extends cdktf.TerraformMetaArguments {
  /**
  * rule block
  *
  */
  readonly rule?: ThingRule[];
  /**
  * timeouts block
  */
  readonly timeouts?: ThingTimeouts;
  /**
  * vpc block
  */
  readonly vpc: ThingVpc;
}
export interface ThingRule {
  readonly level: number;
}

export class ThingRuleOutputReference extends cdktf.ComplexObject {

  // level - computed: false, optional: false, required: true
  private _level?: number; 
  public get level() {
    return this.getNumberAttribute('level');
  }
}

export class ThingRuleList extends cdktf.ComplexList {
}
export class ThingTimeoutsOutputReference extends cdktf.ComplexObject {

  // create - computed: false, optional: true, required: false
  private _create?: string; 
  public get create() {
    return this.getStringAttribute('create');
  }
}
export class ThingVpcOutputReference extends cdktf.ComplexObject {

  // subnet_ids - computed: false, optional: false, required: true
  private _subnetIds?: string[]; 
  public get subnetIds() {
    return cdktf.Fn.tolist(this.getListAttribute('subnet_ids'));
  }
}
export class ThingFactOutputReference extends cdktf.ComplexObject {

  // data - computed: true, optional: false, required: false
  public get data() {
    return this.getStringAttribute('data');
  }
}

export class ThingFactList extends cdktf.ComplexList {
}

export class Thing extends cdktf.TerraformResource {
  public static readonly tfResourceType = "acme_thing";

  // arn - computed: true, optional: false, required: false
  public get arn() {
    return this.getStringAttribute('arn');
  }

  // names - computed: true, optional: true, required: false
  private _names?: string[]; 
  public get names() {
    return this.getListAttribute('names');
  }

  // tags_all - computed: true, optional: false, required: false
  private _tagsAll = new cdktf.StringMap(this, "tags_all");
  public get tagsAll() {
    return this._tagsAll;
  }

  // fact - computed: true, optional: false, required: false
  private _fact = new ThingFactList(this, "fact", false);
  public get fact() {
    return this._fact;
  }

  // rule - computed: false, optional: true, required: false
  private _rule = new ThingRuleList(this, "rule", true);
  public get rule() {
    return this._rule;
  }

  // timeouts - computed: false, optional: true, required: false
  private _timeouts = new ThingTimeoutsOutputReference(this, "timeouts");
  public get timeouts() {
    return this._timeouts;
  }

  // vpc - computed: false, optional: false, required: true
  private _vpc = new ThingVpcOutputReference(this, "vpc");
  public get vpc() {
    return this._vpc;
  }

  protected synthesizeHclAttributes(): { [name: string]: any } {
    const attrs = {
      timeouts: {
        value: thingTimeoutsToHclTerraform(this._timeouts.internalValue),
        isBlock: true,
        type: "struct",
        storageClassType: "ThingTimeouts",
      },
    };
  }
}
`

const provider = `
export interface AcmeProviderConfig {
  /**
  * Docs at Terraform Registry: {@link https://registry.test/docs#region AcmeProvider#region}
  */
  readonly region?: string;
  /**
  * Alias name
  *
  * Docs at Terraform Registry: {@link https://registry.test/docs#alias AcmeProvider#alias}
  */
  readonly alias?: string;
  /**
  * default_tags block
  *
  * Docs at Terraform Registry: {@link https://registry.test/docs#default_tags AcmeProvider#default_tags}
  */
  readonly defaultTags?: AcmeProviderDefaultTags[] | cdktf.IResolvable;
}
export interface AcmeProviderDefaultTags {
  /**
  * Docs at Terraform Registry: {@link https://registry.test/docs#tags AcmeProvider#tags}
  */
  readonly tags?: { [key: string]: string };
}
`

func unpacked(t *testing.T, modules map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range modules {
		at := filepath.Join(folder, "lib", name)
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		m, err := json.Marshal(map[string]any{"sourcesContent": []string{text}})
		if err != nil {
			t.Fatal(err)
		}
		js := "// compiled\n//# sourceMappingURL=data:application/json;base64," + base64.StdEncoding.EncodeToString(m)
		if err := os.WriteFile(filepath.Join(at, "index.js"), []byte(js), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestRead(t *testing.T) {
	folder := unpacked(t, map[string]string{"provider": provider, "thing": generated})
	s, err := Read(folder, "acme", []string{"acme_thing"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Block{
		Attributes: map[string]*Attribute{
			"arn":      {Type: "string", Computed: true},
			"names":    {Type: "list(string)", Optional: true, Computed: true},
			"tags_all": {Type: "map(string)", Computed: true},
			"fact": {Computed: true, Of: &Nested{Nesting: List, Block: Block{Blocks: map[string]*Nested{},
				Attributes: map[string]*Attribute{"data": {Type: "string", Computed: true}}}}},
		},
		Blocks: map[string]*Nested{
			"rule":     {Nesting: Set, Block: Block{Blocks: map[string]*Nested{}, Attributes: map[string]*Attribute{"level": {Type: "number", Required: true}}}},
			"timeouts": {Nesting: Single, Block: Block{Blocks: map[string]*Nested{}, Attributes: map[string]*Attribute{"create": {Type: "string", Optional: true}}}},
			"vpc": {Nesting: List, Min: 1, Max: 1, Block: Block{Blocks: map[string]*Nested{},
				Attributes: map[string]*Attribute{"subnet_ids": {Type: "set(string)", Required: true}}}},
		},
	}
	if diff := cmp.Diff(want, s.Resources["acme_thing"]); diff != "" {
		t.Error(diff)
	}
	wantProvider := &Block{
		Attributes: map[string]*Attribute{"region": {Type: "string", Optional: true}},
		Blocks: map[string]*Nested{"default_tags": {Nesting: List, Block: Block{Blocks: map[string]*Nested{},
			Attributes: map[string]*Attribute{"tags": {Type: "map(string)", Optional: true}}}}},
	}
	if diff := cmp.Diff(wantProvider, s.Provider); diff != "" {
		t.Error(diff)
	}
}

// What cannot be read is said, and never left out.
func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, text, kind, want string }{
		"an unknown kind of value": {"this.getStringAttribute('arn')", "this.somehow('arn')", "acme_thing", "arn: its type is not understood"},
		"a body without a class":   {"class ThingRuleOutputReference", "class Other", "acme_thing", "rule: no class ThingRuleOutputReference"},
		"another type":             {"", "", "acme_other", "acme_other is not in"},
		"a module of another type": {`"acme_thing"`, `"acme_thong"`, "acme_thing", "no class has this type"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := unpacked(t, map[string]string{"provider": provider, "thing": strings.Replace(generated, c.old, c.text, 1)})
			if _, err := Read(folder, "acme", []string{c.kind}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAdd(t *testing.T) {
	s := Schema{Resources: map[string]*Block{"a": {Attributes: map[string]*Attribute{"any": {Type: "dynamic"}},
		Blocks: map[string]*Nested{"in": {Nesting: Set, Block: Block{}}}}}}
	s.Add(Schema{Resources: map[string]*Block{
		"a": {Attributes: map[string]*Attribute{"new": {Type: "bool"}}, Blocks: map[string]*Nested{
			"any": {Nesting: List}, "in": {Nesting: Set, Block: Block{Attributes: map[string]*Attribute{"x": {Type: "string"}}}}}},
		"b": {},
	}})
	a := s.Resources["a"]
	if a.Attributes["new"] == nil || a.Attributes["any"] != nil || a.Blocks["any"] == nil || a.Blocks["in"].Block.Attributes["x"] == nil || s.Resources["b"] == nil {
		t.Errorf("%+v", a)
	}
}
