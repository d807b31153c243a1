// Package dynamo is a store in a table of Amazon DynamoDB, for what is several processes, or a function.
//
// The table has the string keys "part" and "sort", and nothing else is asked of it than what it holds: it is made by whoever
// sets up the account. DynamoDB removes what has expired by the number "expires", days later at times, so that every reading
// and every condition looks at it too.
package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/store"
)

// The attributes of an item.
const (
	attrPart    = "part"
	attrSort    = "sort"
	attrValue   = "value"
	attrVersion = "version"
	attrExpires = "expires" // seconds of the Unix epoch, as DynamoDB's time to live wants them; absent: never
	attrWrite   = "write"   // a name of the write that made it
)

// patience is how long a call may take with all its attempts.
const patience = 8 * time.Second

// Config is what a Store needs. Now is time.Now where nil.
type Config struct {
	Table string
	AWS   aws.Config
	Now   func() time.Time
}

// Store is a table. It implements store.Store, for any number of processes.
type Store struct {
	table  string
	client *dynamodb.Client
	http   *http.Client
	now    func() time.Time
}

// Open checks that the table is there and is what a store needs.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Table == "" || c.AWS.Region == "" {
		return nil, errors.New("dynamo: table and AWS configuration are required")
	}
	s := &Store{table: c.Table, now: c.Now, http: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}}
	s.client = dynamodb.NewFromConfig(c.AWS, func(o *dynamodb.Options) { o.HTTPClient = s.http })
	if s.now == nil {
		s.now = time.Now
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s, s.check(ctx)
}

// Start is Open with what the environment says of AWS (awsenv.Config).
func Start(ctx context.Context, table string, now func() time.Time) (*Store, error) {
	aws, err := awsenv.Config("DYNAMODB")
	if err != nil {
		return nil, err
	}
	return Open(ctx, Config{Table: table, AWS: aws, Now: now})
}

// Close closes the connections that wait for a next call.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// check has a table that would not do be found before anybody signs in.
func (s *Store) check(ctx context.Context) error {
	found, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if err != nil {
		return s.explain("describe", err)
	}
	keys := map[string]types.KeyType{}
	for _, k := range found.Table.KeySchema {
		keys[aws.ToString(k.AttributeName)] = k.KeyType
	}
	for _, a := range found.Table.AttributeDefinitions {
		if a.AttributeType != types.ScalarAttributeTypeS {
			delete(keys, aws.ToString(a.AttributeName))
		}
	}
	if keys[attrPart] != types.KeyTypeHash || keys[attrSort] != types.KeyTypeRange {
		return fmt.Errorf("dynamo: the keys of table %s must be the strings %s (HASH) and %s (RANGE): make another table", s.table, attrPart, attrSort)
	}
	life, err := s.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &s.table})
	if err != nil {
		return s.explain("describe time to live of", err)
	}
	if d := life.TimeToLiveDescription; d == nil || aws.ToString(d.AttributeName) != attrExpires ||
		d.TimeToLiveStatus != types.TimeToLiveStatusEnabled && d.TimeToLiveStatus != types.TimeToLiveStatusEnabling {
		return fmt.Errorf("dynamo: table %s keeps what has expired for ever: enable its time to live by the attribute %s", s.table, attrExpires)
	}
	return nil
}

// explain says what was asked of which table, and what to do where that is known.
func (s *Store) explain(what string, err error) error {
	hint := ""
	var missing *types.ResourceNotFoundException
	var busy *types.ProvisionedThroughputExceededException
	switch {
	case errors.As(err, &missing):
		hint = "there is no such table in this account and region: "
	case errors.As(err, &busy):
		hint = "it has too little capacity, PAY_PER_REQUEST has none to run out of: "
	}
	return fmt.Errorf("%s table %s: %s%w", what, s.table, hint, err)
}

func text(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func number(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
}

type attributes = map[string]types.AttributeValue

func keyOf(k store.Key) attributes { return attributes{attrPart: text(k.Part), attrSort: text(k.Sort)} }

// read makes an item of its attributes. What has expired is not there.
func (s *Store) read(a attributes) (store.Item, error) {
	part, _ := a[attrPart].(*types.AttributeValueMemberS)
	sort, _ := a[attrSort].(*types.AttributeValueMemberS)
	value, _ := a[attrValue].(*types.AttributeValueMemberB)
	version, err := integer(a[attrVersion])
	if part == nil || sort == nil || value == nil || err != nil {
		return store.Item{}, fmt.Errorf("read table %s: it holds an item that is none of the store's", s.table)
	}
	i := store.Item{Key: store.Key{Part: part.Value, Sort: sort.Value}, Value: value.Value, Version: version}
	if a[attrExpires] == nil {
		return i, nil
	}
	seconds, err := integer(a[attrExpires])
	if err != nil {
		return store.Item{}, fmt.Errorf("read table %s: %s is no number", s.table, attrExpires)
	}
	if i.Expires = time.Unix(seconds, 0); !s.now().Before(i.Expires) {
		return store.Item{}, store.ErrNotFound
	}
	return i, nil
}

func integer(v types.AttributeValue) (int64, error) {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0, errors.New("no number")
	}
	return strconv.ParseInt(n.Value, 10, 64)
}

// Get implements store.Store. It reads what was written last, wherever that was.
func (s *Store) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if err := store.Check(store.Item{Key: k}); err != nil {
		return store.Item{}, err
	}
	a, err := s.get(ctx, k)
	if err != nil {
		return store.Item{}, err
	}
	return s.read(a)
}

// get returns the attributes of an item, also of one that has expired.
func (s *Store) get(ctx context.Context, k store.Key) (attributes, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: keyOf(k), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, s.explain("read", err)
	}
	if len(out.Item) == 0 {
		return nil, store.ErrNotFound
	}
	return out.Item, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, part string) (items []store.Item, err error) {
	if err := store.Check(store.Item{Key: store.Key{Part: part, Sort: "-"}}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pages := dynamodb.NewQueryPaginator(s.client, &dynamodb.QueryInput{TableName: &s.table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression: aws.String("#part = :part"), ExpressionAttributeNames: map[string]string{"#part": attrPart},
		ExpressionAttributeValues: attributes{":part": text(part)}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.explain("list", err)
		}
		for _, a := range page.Items {
			i, err := s.read(a)
			switch {
			case errors.Is(err, store.ErrNotFound):
				continue
			case err != nil:
				return nil, err
			}
			if items = append(items, i); len(items) == store.MaxList {
				return items, nil
			}
		}
	}
	return items, nil
}

// condition is what must hold of the stored item for a write: it has the version, or is not there where that is zero.
func (s *Store) condition(version int64) (expression *string, names map[string]string, values attributes) {
	names = map[string]string{"#expires": attrExpires}
	values = attributes{":now": number(s.now().Unix())}
	if version == 0 {
		names["#part"] = attrPart
		return aws.String("attribute_not_exists(#part) OR #expires <= :now"), names, values
	}
	names["#version"], values[":version"] = attrVersion, number(version)
	return aws.String("#version = :version AND (attribute_not_exists(#expires) OR #expires > :now)"), names, values
}

// Put implements store.Store. Where an attempt got no answer, the next one may meet what it wrote: that is no conflict, and
// the write's name tells.
func (s *Store) Put(ctx context.Context, i store.Item) (store.Item, error) {
	if err := store.Check(i); err != nil {
		return store.Item{}, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	expression, names, values := s.condition(i.Version)
	i.Version++
	write := rand.Text()
	item := keyOf(i.Key)
	item[attrValue] = &types.AttributeValueMemberB{Value: append([]byte{}, i.Value...)} // an empty value is one too
	item[attrVersion], item[attrWrite] = number(i.Version), text(write)
	if !i.Expires.IsZero() {
		i.Expires = i.Expires.Truncate(time.Second)
		item[attrExpires] = number(i.Expires.Unix())
	}
	_, err := s.client.PutItem(limited, &dynamodb.PutItemInput{TableName: &s.table, Item: item, ConditionExpression: expression,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	var refused *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return i, nil
	case !errors.As(err, &refused):
		return store.Item{}, s.explain("write", err)
	}
	there, err := s.get(ctx, i.Key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Item{}, err
	}
	if by, ok := there[attrWrite].(*types.AttributeValueMemberS); ok && by.Value == write {
		return i, nil
	}
	return store.Item{}, store.ErrConflict
}

// Delete implements store.Store. Where an attempt got no answer and had removed the item, the next one is told of a conflict:
// nobody can tell then who removed it, and what is good once must not be taken for unused.
func (s *Store) Delete(ctx context.Context, i store.Item) error {
	if err := store.Check(i); err != nil {
		return err
	}
	if i.Version == 0 {
		return store.ErrConflict
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	expression, names, values := s.condition(i.Version)
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: keyOf(i.Key), ConditionExpression: expression,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	var refused *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &refused):
		return store.ErrConflict
	case err != nil:
		return s.explain("delete from", err)
	}
	return nil
}
