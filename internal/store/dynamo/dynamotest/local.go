// Package dynamotest starts AWS's DynamoDB Local for tests, and makes tables in it as an operator does in an account.
//
// It needs Java, and the network at its first use. Whoever uses it calls Stop when all tests have ended.
package dynamotest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"mcpgateway/internal/peers"
)

// local is AWS's DynamoDB Local, which all tests share.
var local struct {
	once    sync.Once
	process *exec.Cmd
	url     string
	err     error
}

// Stop ends it, where it was started.
func Stop() {
	if local.process != nil {
		_ = local.process.Process.Kill()
		_ = local.process.Wait() // it says that it was killed
	}
}

// Service is the configuration for DynamoDB Local, which is installed where it is not yet.
func Service(t *testing.T) aws.Config {
	t.Helper()
	if os.Getenv("TEST_NETWORK") == "" {
		t.Skip("it needs AWS's DynamoDB Local from npm: TEST_NETWORK is not set")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("DynamoDB Local needs Java, which is not installed: apt-get install default-jre-headless")
	}
	local.once.Do(func() { local.err = start(t, java) })
	if local.err != nil {
		t.Fatal(local.err)
	}
	return Config(local.url)
}

// Config is one for a service at a URL.
func Config(url string) aws.Config {
	return aws.Config{Region: "eu-central-1", BaseEndpoint: &url, RetryMaxAttempts: 3,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
}

func start(t *testing.T, java string) error {
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		return err
	}
	cache := filepath.Join(filepath.Dir(string(root)), ".cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return err
	}
	dir, err := install(t, cache)
	if err != nil {
		return err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	in := filepath.Join(dir, "emulator")
	local.url = "http://" + address
	local.process = exec.Command(java, "-Djava.library.path="+filepath.Join(in, "DynamoDBLocal_lib"), "-jar", filepath.Join(in, "DynamoDBLocal.jar"),
		"-inMemory", "-sharedDb", "-port", port) // shared by whatever credentials
	local.process.Dir, local.process.Stdout, local.process.Stderr = in, os.Stderr, os.Stderr // it writes a file where it runs
	if err := local.process.Start(); err != nil {
		local.process = nil
		return err
	}
	for range 600 { // a machine that does much else gives Java its time late
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("DynamoDB Local does not listen")
}

// install installs it, once for tests of several packages that run at once.
func install(t *testing.T, cache string) (string, error) {
	lock, err := os.OpenFile(filepath.Join(cache, "dynamodb.lock"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	return peers.Installer{Dir: cache}.Archive(t.Context(), peers.DynamoDB)
}

// Schema is what the table of a store is made with.
func Schema() *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("part"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("sort"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("part"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sort"), KeyType: types.KeyTypeRange}}}
}

// Table makes a table whose items end by the attribute expires, and returns its name.
func Table(t *testing.T, c aws.Config, schema *dynamodb.CreateTableInput, expires string) string {
	t.Helper()
	name := fmt.Sprintf("store-%d", time.Now().UnixNano())
	schema.TableName = &name
	client := dynamodb.NewFromConfig(c)
	if _, err := client.CreateTable(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	if expires != "" {
		if _, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: &name,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &expires, Enabled: aws.Bool(true)}}); err != nil {
			t.Fatal(err)
		}
	}
	return name
}
