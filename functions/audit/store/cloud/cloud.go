// Package cloud keeps audit records in S3, as objects of JSON lines by date and server, and an index in DynamoDB, for any number
// of processes.
//
// A record is claimed in the index for the object that it will be in, before the object is there: so it is in one object only.
// The object's name is that of its batch's content, so that a batch that comes again writes the same.
package cloud

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mcpgateway/functions/audit/store"
)

// Names of the table's attributes. Indexes are called <attribute>-at, with that attribute and attrAt for keys; terraform makes
// them.
const (
	attrKey     = "key"
	attrAt      = "at"
	attrDay     = "day"
	attrRecord  = "record"  // the entry, as JSON
	attrObject  = "object"  // where its line is, or will be
	attrClaimed = "claimed" // since when, in seconds of the Unix epoch
	attrExpires = "expires" // as DynamoDB's time to live wants it
)

const (
	atOnce   = 16               // requests of one batch under way
	dead     = 2 * time.Minute  // no process brings a batch for so long: whoever claimed and left nothing ended
	patience = 20 * time.Second // of one batch
)

// Config is what a Store needs; all fields are required.
type Config struct {
	Table, Bucket string
	DynamoDB, S3  aws.Config
	Keep          time.Duration // how long entries are found; objects end by the bucket's lifecycle
	Now           func() time.Time
}

// Store is a table and a bucket. It implements store.Store.
type Store struct {
	Config
	index   *dynamodb.Client
	objects *s3.Client
}

// Open returns a Store. Nothing is asked yet.
func Open(c Config) (*Store, error) {
	if c.Table == "" || c.Bucket == "" || c.Keep <= 0 || c.Now == nil || c.DynamoDB.Region == "" || c.S3.Region == "" {
		return nil, errors.New("audit store: every field is required")
	}
	return &Store{Config: c, index: dynamodb.NewFromConfig(c.DynamoDB), objects: s3.NewFromConfig(c.S3, func(o *s3.Options) {
		o.UsePathStyle = c.S3.BaseEndpoint != nil
		o.DisableLogOutputChecksumValidationSkipped = true
	})}, nil
}

// Add implements store.Store.
func (s *Store) Add(ctx context.Context, b store.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	hash, seen := sha256.New(), map[string]bool{}
	by := map[string][]*store.Record{}
	for i := range b.Records {
		r := &b.Records[i]
		hash.Write(r.Line)
		hash.Write([]byte{'\n'})
		if !seen[r.Entry.Key()] {
			seen[r.Entry.Key()] = true
			by[store.Place(&r.Entry)] = append(by[store.Place(&r.Entry)], r)
		}
	}
	name := hex.EncodeToString(hash.Sum(nil)[:16])
	var problems []error
	for place, records := range by {
		problems = append(problems, s.addObject(ctx, place+"/"+name+".jsonl", records))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("keep audit records: %w", err)
	}
	return nil
}

// addObject keeps records in an object, but for those that are in others. What is ours is kept also where others are busy with
// the rest: they may wait for us.
func (s *Store) addObject(ctx context.Context, object string, records []*store.Record) error {
	ours, errs := make([]bool, len(records)), make([]error, len(records))
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, r := range records {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ours[i], errs[i] = s.claim(ctx, object, &r.Entry)
		})
	}
	all.Wait()
	var busy error
	for _, err := range errs {
		if errors.Is(err, store.ErrBusy) {
			busy = err
		} else if err != nil {
			return err
		}
	}
	var text bytes.Buffer
	for i, r := range records {
		if ours[i] {
			text.Write(r.Line)
			text.WriteByte('\n')
		}
	}
	if text.Len() == 0 {
		return busy
	}
	_, err := s.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.Bucket, Key: &object, Body: bytes.NewReader(text.Bytes()),
		ContentType: aws.String("application/x-ndjson")})
	return errors.Join(err, busy)
}

// claim puts an entry into the index for an object, and tells whether it is that object's.
func (s *Store) claim(ctx context.Context, object string, e *store.Entry) (ours bool, err error) {
	item, err := s.item(object, e)
	if err != nil {
		return false, err
	}
	_, err = s.index.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.Table, Item: item, ConditionExpression: aws.String("attribute_not_exists(#k)"),
		ExpressionAttributeNames:            map[string]string{"#k": attrKey},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	var there *types.ConditionalCheckFailedException
	if !errors.As(err, &there) {
		return err == nil, err
	}
	other := textOf(there.Item[attrObject])
	if other == object {
		return true, nil
	}
	switch kept, err := s.exists(ctx, other); {
	case err != nil || kept:
		return false, err
	case s.Now().Sub(timeOf(there.Item[attrClaimed])) < dead:
		return false, store.ErrBusy
	}
	return s.takeOver(ctx, item, other)
}

// takeOver claims what a process had claimed that ended before it kept it.
func (s *Store) takeOver(ctx context.Context, item map[string]types.AttributeValue, other string) (ours bool, err error) {
	_, err = s.index.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.Table, Item: item, ConditionExpression: aws.String("#o = :other"),
		ExpressionAttributeNames:  map[string]string{"#o": attrObject},
		ExpressionAttributeValues: map[string]types.AttributeValue{":other": text(other)}})
	var changed *types.ConditionalCheckFailedException
	if errors.As(err, &changed) {
		return false, store.ErrBusy
	}
	return err == nil, err
}

// exists tells whether an object is there. Who may not list a bucket is refused what is not there.
func (s *Store) exists(ctx context.Context, object string) (bool, error) {
	out, err := s.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: &object, Range: aws.String("bytes=0-0")})
	var failed *awshttp.ResponseError
	if errors.As(err, &failed) && (failed.HTTPStatusCode() == http.StatusNotFound || failed.HTTPStatusCode() == http.StatusForbidden) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer out.Body.Close()
	_, err = io.Copy(io.Discard, out.Body)
	return true, err
}

func (s *Store) item(object string, e *store.Entry) (map[string]types.AttributeValue, error) {
	entry, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	item := map[string]types.AttributeValue{attrKey: text(e.Key()), attrAt: text(e.At()), attrDay: text(store.Day(e.At())), attrRecord: text(string(entry)),
		attrObject: text(object), attrClaimed: seconds(s.Now()), attrExpires: seconds(e.CreatedAt.Add(s.Keep))}
	for _, i := range store.Indexes {
		if of := i.Of(e); of != "" { // a key of an index may not be empty, and may be left out
			item[i.Name] = text(of)
		}
	}
	return item, nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func seconds(t time.Time) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(t.Unix(), 10)}
}

func textOf(v types.AttributeValue) string {
	if s, is := v.(*types.AttributeValueMemberS); is {
		return s.Value
	}
	return ""
}

func timeOf(v types.AttributeValue) time.Time {
	n, is := v.(*types.AttributeValueMemberN)
	if !is {
		return time.Time{}
	}
	s, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(s, 0)
}
