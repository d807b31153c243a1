package awsenv

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// configured is with an environment that is complete, and all services at an address that asks nobody.
func configured(t *testing.T, recording string) aws.Config {
	t.Helper()
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(at.Close)
	for name, value := range map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key",
		"AWS_ENDPOINT_URL": at.URL, "AWS_ENDPOINT_URL_S3": "", Recording: recording} {
		t.Setenv(name, value)
	}
	c, err := Config("S3")
	if err != nil {
		t.Fatal(err)
	}
	c.RetryMaxAttempts = 1
	return c
}

// ask asks S3 for what has another name, what has the same, and what has no form; DynamoDB; and Lambda without a client.
func ask(c aws.Config) error {
	ctx, bucket, key := context.Background(), aws.String("bucket"), aws.String("key")
	objects := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
	for range 2 {
		if _, err := objects.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key}); err != nil {
			return err
		}
	}
	if _, err := objects.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket}); err != nil && !strings.Contains(err.Error(), "EOF") { // the answer is no list
		return err
	}
	_, _ = objects.PutObject(ctx, &s3.PutObjectInput{}) // has no key, and is not sent
	_, _ = dynamodb.NewFromConfig(c).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: bucket})
	return Sending(ctx, c, "Lambda", "Invoke")
}

// Each action that was asked for is in the file once, in IAM's words.
func TestRecording(t *testing.T) {
	file := filepath.Join(t.TempDir(), "actions")
	if err := ask(configured(t, file)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"s3:GetObject", "s3:ListBucket", "dynamodb:DescribeTable", "lambda:InvokeFunction"}
	if got := strings.Fields(string(text)); !slices.Equal(got, want) {
		t.Errorf("recorded %v", got)
	}
	if got := actions("Secrets Manager", "GetSecretValue"); !slices.Equal(got, []string{"secretsmanager:GetSecretValue"}) {
		t.Errorf("a service of two words: %v", got)
	}
}

// What cannot be recorded is not sent, and nothing is around a request where nobody records.
func TestNotRecording(t *testing.T) {
	if err := ask(configured(t, filepath.Join(t.TempDir(), "none", "actions"))); err == nil || !strings.Contains(err.Error(), Recording) {
		t.Errorf("no such folder: %v", err)
	}
	if c := configured(t, ""); len(c.APIOptions) != 0 {
		t.Error("something is in the path of requests")
	}
}
