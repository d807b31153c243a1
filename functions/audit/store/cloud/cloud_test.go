package cloud

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"mcpgateway/functions/audit/store"
	"mcpgateway/functions/audit/store/storetest"
	"mcpgateway/internal/store/dynamo/dynamotest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	dynamotest.Stop()
	os.Exit(code)
}

// schema is the table as terraform makes it.
func schema() *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(attrKey), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attrAt), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String(attrKey), KeyType: types.KeyTypeHash}}}
	names := []string{attrDay}
	for _, i := range store.Indexes {
		names = append(names, i.Name)
	}
	for _, name := range names {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS})
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{IndexName: aws.String(name + "-at"),
			KeySchema:  []types.KeySchemaElement{{AttributeName: aws.String(name), KeyType: types.KeyTypeHash}, {AttributeName: aws.String(attrAt), KeyType: types.KeyTypeRange}},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}})
	}
	return in
}

// open makes a store with a table and a bucket of its own, and a clock.
func open(t *testing.T) (*Store, *time.Time) {
	t.Helper()
	index := dynamotest.Service(t)
	fake := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(fake.Close)
	objects := dynamotest.Config(fake.URL)
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s, err := Open(Config{Table: dynamotest.Table(t, index, schema(), attrExpires), Bucket: "audit", DynamoDB: index, S3: objects, Keep: 24 * time.Hour,
		Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &s.Bucket}); err != nil {
		t.Fatal(err)
	}
	return s, &now
}

// lines are those of all objects of a server's day.
func (s *Store) lines(t *testing.T, server, day string) (all []string) {
	t.Helper()
	out, err := s.objects.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &s.Bucket, Prefix: aws.String("records/date=" + day + "/server=" + server + "/")})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Contents {
		got, err := s.objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.Bucket, Key: o.Key})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	return all
}

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (store.Store, storetest.Kept) {
		s, _ := open(t)
		return s, s.lines
	})
}

func record(t *testing.T, id string) store.Record {
	t.Helper()
	r, err := store.NewRecord([]byte(`{"id":"` + id + `","createdAt":"2026-11-28T11:59:00Z","server":"notes","callType":"ping","outcome":"forwarded"}`))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a process claimed that ended before the object was there is taken over, and not before that process is dead.
func TestEndsBetween(t *testing.T) {
	s, now := open(t)
	lost := record(t, "one")
	if ours, err := s.claim(t.Context(), "records/date=2026-11-28/server=notes/lost.jsonl", &lost.Entry); err != nil || !ours {
		t.Fatal(ours, err)
	}
	b := store.Batch{Server: "notes", Records: []store.Record{lost, record(t, "two")}}
	if err := s.Add(t.Context(), b); !errors.Is(err, store.ErrBusy) {
		t.Errorf("%v", err)
	}
	*now = now.Add(dead)
	if err := s.Add(t.Context(), b); err != nil {
		t.Error(err)
	}
	if got := s.lines(t, "notes", "2026-11-28"); len(got) != 2 {
		t.Errorf("%q", got)
	}
	// The late one, back from the dead, finds that its record is another's now.
	if ours, err := s.claim(t.Context(), "records/date=2026-11-28/server=notes/lost.jsonl", &lost.Entry); err != nil || ours {
		t.Error(ours, err)
	}
}

// S3 down: nothing is answered for, and the same batch does it later.
func TestObjectsDown(t *testing.T) {
	s, _ := open(t)
	real := s.objects
	s.objects = s3.NewFromConfig(dynamotest.Config("http://127.0.0.1:1"), func(o *s3.Options) { o.UsePathStyle, o.RetryMaxAttempts = true, 1 })
	b := store.Batch{Server: "notes", Records: []store.Record{record(t, "one")}}
	if err := s.Add(t.Context(), b); err == nil {
		t.Error("kept without an object")
	}
	s.objects = real
	if err := s.Add(t.Context(), b); err != nil {
		t.Error(err)
	}
	if got := s.lines(t, "notes", "2026-11-28"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// A month without records is gone through a page at a time.
func TestManyDays(t *testing.T) {
	s, _ := open(t)
	if err := s.Add(t.Context(), store.Batch{Server: "notes", Records: []store.Record{record(t, "one")}}); err != nil {
		t.Fatal(err)
	}
	q := store.Query{From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), Limit: 5}
	var found, pages int
	for range 20 {
		p, err := s.Find(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		found += len(p.Entries)
		pages++
		if p.Next == "" {
			break
		}
		q.After = p.Next
	}
	if found != 1 || pages < 4 || pages > 6 {
		t.Errorf("%d found on %d pages", found, pages)
	}
}
