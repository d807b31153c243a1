// Command keys keeps issuers' keys where gateway and deployer find them, who may be in a network from which an issuer is not
// reached.
//
// It asks those issuers only that the platform file names with keys, each at its own address, and writes one object for each,
// beside the platform file. It sees no token, and who reads the objects decides what they are worth.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/command"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mirror"
)

const help = `usage: keys

Fetches the keys of those issuers whose entry in the platform file has a file for them (issuers.keys), once, and writes them
beside the platform file in S3. Where AWS_LAMBDA_RUNTIME_API is set, as on Lambda, it does so at each invocation. Configured by
the environment:
  PLATFORM   the platform file: s3://BUCKET/KEY
S3 needs AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where there is one. Logs go to stderr as
JSON lines.
`

// patience is how long an issuer may take to answer.
const patience = 10 * time.Second

func main() { command.Main(help, run) }

func run(log *slog.Logger) error {
	at, is, err := mirror.Parse(os.Getenv("PLATFORM"))
	if err == nil && !is {
		err = errors.New("it must be s3://BUCKET/KEY")
	}
	if err != nil {
		return fmt.Errorf("PLATFORM: %w", err)
	}
	config, err := awsenv.Config("S3")
	if err != nil {
		return err
	}
	copied, err := mirror.Start(at, func(string) []string { return nil }, log)
	if err != nil {
		return err
	}
	copied.Changed = func() {} // it is read anew each time
	k := &keeper{copied: copied, at: at, log: log, client: s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = config.BaseEndpoint != nil })}
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		return errors.Join(k.refresh(context.Background()), copied.Close())
	}
	lambda.Start(func(ctx context.Context, _ json.RawMessage) error {
		if err := copied.Look(ctx); err != nil {
			log.Warn("platform file not looked at, the copy stays in force", "error", err)
		}
		return k.refresh(ctx)
	})
	return nil
}

// keeper brings keys from issuers to objects.
type keeper struct {
	copied *mirror.Mirror
	at     mirror.Location // of the platform file
	client *s3.Client
	log    *slog.Logger
}

// refresh does so for all issuers at once. What is there of one that does not answer stays, and grows old.
func (k *keeper) refresh(ctx context.Context) error {
	p, err := catalog.LoadPlatform(k.copied.Platform())
	if err != nil {
		return err
	}
	errs := make([]error, len(p.Issuers))
	var all sync.WaitGroup
	for n, i := range p.Issuers {
		if i.KeysFile != "" {
			all.Go(func() { errs[n] = k.bring(ctx, i) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// bring brings the keys of one issuer.
func (k *keeper) bring(ctx context.Context, i identity.Issuer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	name, err := filepath.Rel(filepath.Dir(k.copied.Platform()), i.KeysFile)
	if err != nil || !filepath.IsLocal(name) {
		return fmt.Errorf("issuer %s: issuers.keys must be beside the platform file", i.URL)
	}
	keys, err := identity.FetchKeys(ctx, i.URL, nil)
	if err != nil {
		return fmt.Errorf("issuer %s: %w", i.URL, err)
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	key := path.Join(path.Dir(k.at.Key), filepath.ToSlash(name))
	if _, err := k.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &k.at.Bucket, Key: &key, Body: bytes.NewReader(text), ContentType: aws.String("application/json")}); err != nil {
		return fmt.Errorf("write s3://%s/%s: %w", k.at.Bucket, key, err)
	}
	k.log.Info("keys brought", "issuer", i.URL, "bytes", len(text))
	return nil
}
