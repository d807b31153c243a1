package awsenv

import (
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		t.Setenv(name, "")
	}
	_, err := Config("S3")
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if err == nil || !strings.Contains(err.Error(), name+" is not set") {
			t.Errorf("%s is not missed: %v", name, err)
		}
	}
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "key")
	t.Setenv("AWS_SESSION_TOKEN", "session")
	c, err := Config("S3")
	if err != nil || c.Region != "eu-central-1" || c.BaseEndpoint != nil {
		t.Fatalf("%+v, %v", c, err)
	}
	if k, err := c.Credentials.Retrieve(t.Context()); err != nil || k.AccessKeyID != "id" || k.SecretAccessKey != "key" || k.SessionToken != "session" {
		t.Errorf("credentials of %s, %v", k.AccessKeyID, err)
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://all.test")
	if c, _ = Config("S3"); *c.BaseEndpoint != "http://all.test" {
		t.Errorf("asked at %s", *c.BaseEndpoint)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://s3.test")
	if c, _ = Config("S3"); *c.BaseEndpoint != "http://s3.test" {
		t.Errorf("asked at %s", *c.BaseEndpoint)
	}
}
