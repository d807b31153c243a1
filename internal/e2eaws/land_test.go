package e2eaws

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"mcpgateway/internal/terraformtest"
)

// as reads a resource's arguments into a struct.
func as[T any](t *testing.T, r terraformtest.Resource) (v T) {
	t.Helper()
	text, err := json.Marshal(r.Values)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", r.Address, err)
	}
	return v
}

// table is aws_dynamodb_table.
type table struct {
	Name      string `json:"name"`
	HashKey   string `json:"hash_key"`
	RangeKey  string `json:"range_key"`
	Attribute []struct{ Name, Type string }
	Index     []struct {
		Name       string `json:"name"`
		HashKey    string `json:"hash_key"`
		RangeKey   string `json:"range_key"`
		Projection string `json:"projection_type"`
	} `json:"global_secondary_index"`
	TTL []struct {
		Attribute string `json:"attribute_name"`
		Enabled   bool   `json:"enabled"`
	} `json:"ttl"`
}

func keys(hash, sort string) (k []types.KeySchemaElement) {
	k = append(k, types.KeySchemaElement{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash})
	if sort != "" {
		k = append(k, types.KeySchemaElement{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange})
	}
	return k
}

// make makes the table in DynamoDB Local, as the provider would.
func (d table) make(t *testing.T, client *dynamodb.Client) {
	t.Helper()
	in := &dynamodb.CreateTableInput{TableName: &d.Name, BillingMode: types.BillingModePayPerRequest, KeySchema: keys(d.HashKey, d.RangeKey)}
	for _, a := range d.Attribute {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(a.Name), AttributeType: types.ScalarAttributeType(a.Type)})
	}
	for _, i := range d.Index {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{IndexName: aws.String(i.Name), KeySchema: keys(i.HashKey, i.RangeKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionType(i.Projection)}})
	}
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatalf("make table %s: %v", d.Name, err)
	}
	for _, life := range d.TTL {
		if _, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: &d.Name,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &life.Attribute, Enabled: &life.Enabled}}); err != nil {
			t.Fatal(err)
		}
	}
}

// land makes what Terraform says was made, where it can be here.
func (w *world) land(made []terraformtest.Resource) {
	w.t.Helper()
	for _, r := range made {
		switch r.Type {
		case "aws_dynamodb_table":
			as[table](w.t, r).make(w.t, w.dynamodb)
		case "aws_s3_bucket":
			if err := w.s3.CreateBucket(fmt.Sprint(r.Values["bucket"])); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for _, r := range made {
		if r.Type == "aws_s3_object" {
			w.put(as[struct{ Bucket, Key, Content string }](w.t, r))
		}
	}
}

// put puts an object. The stub has made up where the API server is: here it is the cluster's stand-in.
func (w *world) put(o struct{ Bucket, Key, Content string }) {
	w.t.Helper()
	switch o.Key {
	case "documents/platform.yaml":
		w.documents = o.Bucket
		_, endpoint, _ := strings.Cut(o.Content, `"endpoint": "`)
		endpoint, _, _ = strings.Cut(endpoint, `"`)
		o.Content = strings.Replace(o.Content, endpoint, w.cluster.api.URL, 1)
	case "documents/cluster.pem":
		o.Content = w.cluster.authority
	case "documents/name.key":
		w.cluster.nameKey = o.Content
	}
	if _, err := w.s3.PutObject(o.Bucket, o.Key, map[string]string{}, strings.NewReader(o.Content), int64(len(o.Content)), nil); err != nil {
		w.t.Fatal(err)
	}
}

// unland removes what is no more.
func (w *world) unland(before, left []terraformtest.Resource) {
	w.t.Helper()
	stays := map[string]bool{}
	for _, r := range left {
		stays[r.Address] = true
	}
	for _, r := range before {
		if stays[r.Address] {
			continue
		}
		switch r.Type {
		case "aws_dynamodb_table":
			if _, err := w.dynamodb.DeleteTable(w.t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String(fmt.Sprint(r.Values["name"]))}); err != nil {
				w.t.Error(err)
			}
		case "aws_s3_bucket":
			if r.Values["force_destroy"] != true {
				w.t.Errorf("%s is not to be emptied", r.Address)
			}
			if err := w.s3.ForceDeleteBucket(fmt.Sprint(r.Values["bucket"])); err != nil {
				w.t.Error(err)
			}
		}
	}
}
