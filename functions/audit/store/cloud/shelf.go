package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mcpgateway/functions/audit/store"
	"mcpgateway/internal/lists"
)

// Leave implements store.Shelf.
func (s *Store) Leave(ctx context.Context, server string, left []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	object := store.ShelfFolder + "/" + server
	_, err := s.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.Bucket, Key: &object, Body: bytes.NewReader(left),
		ContentType: aws.String("application/octet-stream")})
	if err != nil {
		return fmt.Errorf("leave lists: %w", err)
	}
	return nil
}

// Left implements store.Shelf. Who may not list a bucket is refused what is not there.
func (s *Store) Left(ctx context.Context, server string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	object := store.ShelfFolder + "/" + server
	out, err := s.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: &object})
	var failed *awshttp.ResponseError
	if errors.As(err, &failed) && (failed.HTTPStatusCode() == http.StatusNotFound || failed.HTTPStatusCode() == http.StatusForbidden) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lists: %w", err)
	}
	defer out.Body.Close()
	return io.ReadAll(io.LimitReader(out.Body, lists.MaxLeft))
}
