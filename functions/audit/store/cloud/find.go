package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"mcpgateway/functions/audit/store"
)

// maxReads bounds the requests of one page: what is left is the next one's, which may begin with nothing found.
const maxReads = 20

// Find implements store.Store. By time alone it goes back day by day.
func (s *Store) Find(ctx context.Context, q store.Query) (store.Page, error) {
	f := &finding{store: s, query: q, before: q.Before(), first: store.At(q.From)}
	by, narrow := store.Pick(&q)
	if narrow {
		_, err := f.read(ctx, by.Name, by.In(&q))
		return f.page, err
	}
	for day := store.Day(f.before); day >= store.Day(f.first); day = dayBefore(day) {
		if more, err := f.read(ctx, attrDay, day); err != nil || !more {
			return f.page, err
		}
		if f.reads >= maxReads {
			f.page.Next = day // a day is before all places in it
			return f.page, nil
		}
	}
	return f.page, nil
}

func dayBefore(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return "" // before every day
	}
	return t.AddDate(0, 0, -1).Format(time.DateOnly)
}

// finding is one page that is being found.
type finding struct {
	store         *Store
	query         store.Query
	before, first string // places
	reads         int
	page          store.Page
}

// read goes back in one index; more tells whether the page can take what another has.
func (f *finding) read(ctx context.Context, index, value string) (more bool, err error) {
	in := &dynamodb.QueryInput{TableName: &f.store.Table, IndexName: aws.String(index + "-at"), ScanIndexForward: aws.Bool(false),
		Limit: aws.Int32(int32(f.query.Limit + 1)), KeyConditionExpression: aws.String("#i = :i AND #a BETWEEN :first AND :before"),
		ExpressionAttributeNames:  map[string]string{"#i": index, "#a": attrAt},
		ExpressionAttributeValues: map[string]types.AttributeValue{":i": text(value), ":first": text(f.first), ":before": text(f.before)}}
	if f.before < f.first {
		return false, nil
	}
	for {
		f.reads++
		out, err := f.store.index.Query(ctx, in)
		if err != nil {
			return false, fmt.Errorf("find audit records: %w", err)
		}
		for _, item := range out.Items {
			if full, err := f.take(item); err != nil || full {
				return false, err
			}
		}
		if out.LastEvaluatedKey == nil {
			return true, nil
		}
		if f.reads >= maxReads {
			f.page.Next = textOf(out.LastEvaluatedKey[attrAt])
			return false, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// take puts an item on the page, where it is asked for; full says that it is the next page's.
func (f *finding) take(item map[string]types.AttributeValue) (full bool, err error) {
	var e store.Entry
	if err := json.Unmarshal([]byte(textOf(item[attrRecord])), &e); err != nil {
		return false, fmt.Errorf("read audit index: %w", err)
	}
	if e.At() >= f.before || !f.query.Matches(&e) {
		return false, nil
	}
	if len(f.page.Entries) == f.query.Limit {
		f.page.Next = f.page.Entries[f.query.Limit-1].At()
		return true, nil
	}
	f.page.Entries = append(f.page.Entries, e)
	return false, nil
}
