package dynamo

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"mcpgateway/internal/store"
	"mcpgateway/internal/store/dynamo/dynamotest"
	"mcpgateway/internal/store/storetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	dynamotest.Stop()
	os.Exit(code)
}

func open(t *testing.T, c aws.Config, name string, clock *storetest.Clock) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Table: name, AWS: c, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	c, clock := dynamotest.Service(t), storetest.NewClock()
	storetest.Run(t, open(t, c, dynamotest.Table(t, c, dynamotest.Schema(), attrExpires), clock), clock)
}

// What DynamoDB has not removed yet, hours after its time, is not there all the same: the suite's clock runs ahead of the
// service's. What it removes by itself it finds in the attribute that it was told of, in seconds.
func TestTimeToLive(t *testing.T) {
	c, clock := dynamotest.Service(t), storetest.NewClock()
	name, ends := dynamotest.Table(t, c, dynamotest.Schema(), attrExpires), clock.Now().Add(90*time.Minute)
	s := open(t, c, name, clock)
	k := store.Key{Part: "a", Sort: "b"}
	if i, err := s.Put(t.Context(), store.Item{Key: k, Expires: ends}); err != nil || !i.Expires.Equal(ends.Truncate(time.Second)) {
		t.Fatalf("%+v, %v", i, err)
	}
	out, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &name, Key: keyOf(k)})
	if err != nil {
		t.Fatal(err)
	}
	if seconds, err := integer(out.Item[attrExpires]); err != nil || seconds != ends.Unix() {
		t.Errorf("it expires at %d, %v", seconds, err)
	}
}

func TestTablesThatDoNotDo(t *testing.T) {
	c := dynamotest.Service(t)
	swapped, bytes := dynamotest.Schema(), dynamotest.Schema()
	swapped.KeySchema[0].AttributeName, swapped.KeySchema[1].AttributeName = aws.String("sort"), aws.String("part")
	bytes.AttributeDefinitions[1].AttributeType = types.ScalarAttributeTypeB
	for name, tt := range map[string]struct{ table, want string }{
		"none":         {"missing", "there is no such table in this account and region"},
		"other keys":   {dynamotest.Table(t, c, swapped, attrExpires), "keys of table"},
		"bytes":        {dynamotest.Table(t, c, bytes, attrExpires), "keys of table"},
		"no expiry":    {dynamotest.Table(t, c, dynamotest.Schema(), ""), "enable its time to live by the attribute expires"},
		"other expiry": {dynamotest.Table(t, c, dynamotest.Schema(), "ttl"), "enable its time to live by the attribute expires"},
	} {
		if _, err := Open(t.Context(), Config{Table: tt.table, AWS: c}); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.table) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An item that somebody else put into the table is no item, and no panic.
func TestForeignItem(t *testing.T) {
	c, clock := dynamotest.Service(t), storetest.NewClock()
	name := dynamotest.Table(t, c, dynamotest.Schema(), attrExpires)
	s, k := open(t, c, name, clock), store.Key{Part: "a", Sort: "b"}
	for _, a := range []attributes{keyOf(k), {attrPart: text("a"), attrSort: text("b"), attrValue: text("x"), attrVersion: number(1)}} {
		if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: a}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), k); err == nil || !strings.Contains(err.Error(), "none of the store's") {
			t.Error(err)
		}
		if _, err := s.List(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "none of the store's") {
			t.Error(err)
		}
	}
}

// front is between a store and the service: lose has it take the next answer of that operation, after it was done.
type front struct {
	lose  atomic.Value // string
	calls atomic.Int32
}

func newFront(t *testing.T, c aws.Config) (*front, aws.Config) {
	t.Helper()
	f := &front{}
	f.lose.Store("")
	at, _ := url.Parse(*c.BaseEndpoint)
	proxy := httputil.NewSingleHostReverseProxy(at)
	proxy.ModifyResponse = func(resp *http.Response) error {
		f.calls.Add(1)
		if operation := f.lose.Load().(string); operation != "" && strings.HasSuffix(resp.Request.Header.Get("X-Amz-Target"), operation) {
			f.lose.Store("")
			return errors.New("lost")
		}
		return nil
	}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) }
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return f, dynamotest.Config(server.URL)
}

// The attempt that got no answer wrote the item: the next one meets its own write, and that is no conflict. A removal cannot
// tell, and is one.
func TestAnswerLost(t *testing.T) {
	f, c := newFront(t, dynamotest.Service(t))
	clock := storetest.NewClock()
	s, k := open(t, c, dynamotest.Table(t, c, dynamotest.Schema(), attrExpires), clock), store.Key{Part: "a", Sort: "b"}
	f.lose.Store("PutItem")
	i, err := s.Put(t.Context(), store.Item{Key: k, Value: []byte("1")})
	if err != nil || f.lose.Load() != "" {
		t.Fatalf("first write: %v", err)
	}
	f.lose.Store("PutItem")
	if i, err = s.Put(t.Context(), i); err != nil || i.Version != 2 || f.lose.Load() != "" {
		t.Fatalf("second write: %+v, %v", i, err)
	}
	f.lose.Store("DeleteItem")
	if err := s.Delete(t.Context(), i); !errors.Is(err, store.ErrConflict) || f.lose.Load() != "" {
		t.Errorf("removal: %v", err)
	}
	if _, err := s.Get(t.Context(), k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it was not removed: %v", err)
	}
}

// A service that is down is asked three times, and the error is none of those that say something of an item.
func TestDown(t *testing.T) {
	var asked atomic.Int32
	var said atomic.Value
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		said.Store(string(body))
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer down.Close()
	s := &Store{table: "oauth", client: dynamodb.NewFromConfig(dynamotest.Config(down.URL)), now: time.Now}
	i := store.Item{Key: store.Key{Part: "a", Sort: "b"}, Version: 1}
	for name, ask := range map[string]func() error{
		"get":    func() error { _, err := s.Get(t.Context(), i.Key); return err },
		"list":   func() error { _, err := s.List(t.Context(), "a"); return err },
		"put":    func() error { _, err := s.Put(t.Context(), i); return err },
		"delete": func() error { return s.Delete(t.Context(), i) },
	} {
		asked.Store(0)
		err := ask()
		if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "table oauth") {
			t.Errorf("%s: %v", name, err)
		}
		if reads := name == "get" || name == "list"; reads && !strings.Contains(said.Load().(string), `"ConsistentRead":true`) {
			t.Errorf("%s may get what was there before: %s", name, said.Load())
		}
		if asked.Load() != 3 {
			t.Errorf("%s is asked %d times", name, asked.Load())
		}
	}
}
