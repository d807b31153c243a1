package awsenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Recording is the variable that names a file. What this process asks of AWS is added to it, in IAM's words, a line for each
// action: an operator sees by it what a role must allow. Nothing is in the path of a request where it is not set.
const Recording = "RECORD_ACTIONS"

// recorder adds each action to a file once.
type recorder struct {
	file string
	mu   sync.Mutex
	seen map[string]bool
}

// onto puts the recorder at the end of the last step before a request is sent: what is refused for its form asks for nothing.
func (r *recorder) onto(stack *middleware.Stack) error {
	return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("RecordActions", func(ctx context.Context, in middleware.FinalizeInput,
		next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if err := r.record(actions(middleware.GetServiceID(ctx), middleware.GetOperationName(ctx))); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
		return next.HandleFinalize(ctx, in)
	}), middleware.After)
}

// record adds to the file what is new. An action that is not in the file must not have happened, so an error is the request's.
func (r *recorder) record(actions []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range actions {
		if r.seen[a] {
			continue
		}
		f, err := os.OpenFile(r.file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err == nil {
			_, err = f.WriteString(a + "\n")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", Recording, err)
		}
		r.seen[a] = true
	}
	return nil
}

// named are operations that IAM has another name for, or that ask for more than one thing: Service Authorization Reference,
// and "Required permissions for Amazon S3 API operations". All others are actions themselves.
var named = map[string][]string{
	"lambda:Invoke":                   {"lambda:InvokeFunction"},
	"lambda:InvokeWithResponseStream": {"lambda:InvokeFunction"},
	"s3:CompleteMultipartUpload":      {"s3:PutObject"},
	"s3:CopyObject":                   {"s3:GetObject", "s3:PutObject"},
	"s3:CreateMultipartUpload":        {"s3:PutObject"},
	"s3:DeleteObjects":                {"s3:DeleteObject"},
	"s3:HeadBucket":                   {"s3:ListBucket"},
	"s3:HeadObject":                   {"s3:GetObject"},
	"s3:ListBuckets":                  {"s3:ListAllMyBuckets"},
	"s3:ListMultipartUploads":         {"s3:ListBucketMultipartUploads"},
	"s3:ListObjectVersions":           {"s3:ListBucketVersions"},
	"s3:ListObjects":                  {"s3:ListBucket"},
	"s3:ListObjectsV2":                {"s3:ListBucket"},
	"s3:ListParts":                    {"s3:ListMultipartUploadParts"},
	"s3:UploadPart":                   {"s3:PutObject"},
	"s3:UploadPartCopy":               {"s3:GetObject", "s3:PutObject"},
}

// actions are what an operation of a service is to IAM.
func actions(service, operation string) []string {
	name := strings.ToLower(strings.ReplaceAll(service, " ", "")) + ":" + operation
	if others := named[name]; others != nil {
		return others
	}
	return []string{name}
}

// Sending has a request be seen that is not sent by a client of the SDK: what the configuration puts around an operation runs.
func Sending(ctx context.Context, c aws.Config, service, operation string) error {
	if len(c.APIOptions) == 0 {
		return nil
	}
	stack := middleware.NewStack(operation, smithyhttp.NewStackRequest)
	for _, add := range c.APIOptions {
		if err := add(stack); err != nil {
			return err
		}
	}
	sent := middleware.HandlerFunc(func(context.Context, any) (any, middleware.Metadata, error) { return nil, middleware.Metadata{}, nil })
	ctx = middleware.WithOperationName(middleware.WithServiceID(ctx, service), operation)
	_, _, err := middleware.DecorateHandler(sent, stack).Handle(ctx, nil)
	return err
}
