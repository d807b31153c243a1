// Package awsenv is what a function's environment says of AWS: region, credentials, and where its services are.
//
// It is in the place of aws-sdk-go-v2/config, which reads more (profiles, single sign-on, metadata of machines) and weighs
// more. Whoever needs other credentials than those of the environment needs that package.
package awsenv

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Config reads AWS_REGION, the credentials, and AWS_ENDPOINT_URL_<service> or AWS_ENDPOINT_URL (AWS SDKs and Tools reference
// guide, "Service-specific endpoints"). The error names all that is missing.
func Config(service string) (aws.Config, error) {
	c := aws.Config{Region: os.Getenv("AWS_REGION"), RetryMaxAttempts: attempts}
	var missing []error
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if os.Getenv(name) == "" {
			missing = append(missing, fmt.Errorf("%s is not set: AWS is asked with what the environment says", name))
		}
	}
	c.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken: os.Getenv("AWS_SESSION_TOKEN"), Source: "environment"}, nil
	}))
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_" + service} {
		if at := os.Getenv(name); at != "" {
			c.BaseEndpoint = &at
		}
	}
	if file := os.Getenv(Recording); file != "" {
		c.APIOptions = append(c.APIOptions, (&recorder{file: file, seen: map[string]bool{}}).onto)
	}
	return c, errors.Join(missing...)
}

// attempts is how often a request is sent where it failed: a connection may be of a time before the process was frozen.
const attempts = 3
