// Package mirror keeps a copy of the operator's documents that are in S3, so that all else goes on reading files: the
// platform's, and what that one names beside it. What did not change, by its ETag, is not fetched again.
//
// It does not read what it copies, and asks by a request's clock and not by its own: a function is frozen between requests.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/awsenv"
)

// Config is what a Mirror needs; all fields are required.
type Config struct {
	Location Location   // of the platform file
	AWS      aws.Config // whose BaseEndpoint, where it has one, has buckets in its path
	// Named lists the files that the copy of the platform file names, by their paths in the copy. Others are left out.
	Named  func(platform string) []string
	Logger *slog.Logger
}

// Location is an object in S3.
type Location struct{ Bucket, Key string }

// Parse reads "s3://BUCKET/KEY"; it is false for what does not begin so, which is a path.
func Parse(at string) (l Location, is bool, err error) {
	rest, is := strings.CutPrefix(at, "s3://")
	if !is {
		return l, false, nil
	}
	l.Bucket, l.Key, _ = strings.Cut(rest, "/")
	if l.Bucket == "" || l.Key == "" || path.Clean("/"+l.Key) != "/"+l.Key {
		return l, true, errors.New("it must be s3://BUCKET/KEY")
	}
	return l, true, nil
}

// Mirror is a copy. It may be used concurrently.
type Mirror struct {
	// Changed is called when the copy changed, and must be set before the first look at what changed.
	Changed func()

	Config
	client *s3.Client
	folder string // of the copy; the platform file is in it

	refreshing sync.Mutex
	etags      map[string]string // by name below the folder; empty: there is no such object

	mu      sync.Mutex
	checked time.Time     // when the copy was as the objects are, by the clock on the wall: it also runs while we are frozen
	tried   time.Time     // when that was last looked into
	flight  chan struct{} // closed when it has been; nil while it is not
}

// Open makes a first copy in a folder of its own.
func Open(ctx context.Context, c Config) (*Mirror, error) {
	if c.Location.Bucket == "" || c.Named == nil || c.Logger == nil || c.AWS.Region == "" {
		return nil, errors.New("mirror: every field is required")
	}
	folder, err := os.MkdirTemp("", "documents-") // 0700
	if err != nil {
		return nil, fmt.Errorf("make a folder for documents: %w", err)
	}
	m := &Mirror{Config: c, folder: folder, etags: map[string]string{}, client: s3.NewFromConfig(c.AWS, func(o *s3.Options) {
		o.UsePathStyle = c.AWS.BaseEndpoint != nil
		o.DisableLogOutputChecksumValidationSkipped = true
	})}
	if _, err := m.refresh(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("copy documents from s3://%s/%s: %w", c.Location.Bucket, c.Location.Key, err), m.Close())
	}
	m.checked = now()
	return m, nil
}

// Patience is how long a look may take that nothing goes on without: Lambda gives a function ten seconds before its first
// event.
const Patience = 8 * time.Second

// Start is Open with what the environment says of S3 (awsenv.Config), within Patience.
func Start(at Location, named func(platform string) []string, log *slog.Logger) (*Mirror, error) {
	aws, err := awsenv.Config("S3")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return Open(ctx, Config{Location: at, AWS: aws, Named: named, Logger: log})
}

// now is without the clock that stands still when the machine does.
func now() time.Time { return time.Now().Round(0) }

// Close removes the copy.
func (m *Mirror) Close() error { return os.RemoveAll(m.folder) }

// Platform is the path of the platform file's copy.
func (m *Mirror) Platform() string { return filepath.Join(m.folder, path.Base(m.Location.Key)) }

// object is one that was asked for.
type object struct {
	name string
	etag string // empty: there is none
	text []byte // nil where it did not change
}

// Look makes the copy as the objects are now. With an error it stays what it was.
func (m *Mirror) Look(ctx context.Context) error {
	changed, err := m.refresh(ctx)
	if changed {
		m.Changed()
	}
	return err
}

// refresh fetches what changed, and tells whether anything did. Nothing is replaced unless all could be asked for.
func (m *Mirror) refresh(ctx context.Context) (changed bool, err error) {
	m.refreshing.Lock()
	defer m.refreshing.Unlock()
	asked := map[string]bool{}
	for {
		var next []string // a new platform file may name others
		for _, name := range m.names() {
			if !asked[name] {
				asked[name] = true
				next = append(next, name)
			}
		}
		if len(next) == 0 {
			return changed, nil
		}
		fetched, err := m.fetch(ctx, next)
		if err != nil {
			return changed, err
		}
		for _, o := range fetched {
			if o.text != nil || o.etag == "" && m.etags[o.name] != "" {
				changed = true
			}
			if err := m.put(o); err != nil {
				return changed, err
			}
		}
	}
}

// names are those of the platform file and of what it names in the copy's folder.
func (m *Mirror) names() []string {
	all := []string{path.Base(m.Location.Key)}
	for _, file := range m.Named(m.Platform()) {
		if name, err := filepath.Rel(m.folder, file); err == nil && filepath.IsLocal(name) {
			all = append(all, filepath.ToSlash(name))
		}
	}
	slices.Sort(all[1:])
	return slices.Compact(all)
}

func (m *Mirror) fetch(ctx context.Context, names []string) ([]object, error) {
	objects, errs := make([]object, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { objects[i], errs[i] = m.get(ctx, name, m.etags[name]) })
	}
	all.Wait()
	return objects, errors.Join(errs...)
}

// maxObject bounds a document, in bytes, as package documents does.
const maxObject = 5 << 20

// get asks for an object that was not the one with the ETag.
func (m *Mirror) get(ctx context.Context, name, etag string) (object, error) {
	in := &s3.GetObjectInput{Bucket: &m.Location.Bucket, Key: aws.String(path.Join(path.Dir(m.Location.Key), name))}
	if etag != "" {
		in.IfNoneMatch = &etag
	}
	out, err := m.client.GetObject(ctx, in)
	var failed *awshttp.ResponseError
	if errors.As(err, &failed) {
		switch failed.HTTPStatusCode() {
		case http.StatusNotModified:
			return object{name: name, etag: etag}, nil
		case http.StatusForbidden: // also the answer for what is not there, where we may not list
			m.Logger.Warn("document may not be read, or does not exist", "key", *in.Key)
			return object{name: name}, nil
		case http.StatusNotFound:
			return object{name: name}, nil
		}
	}
	if err != nil {
		return object{}, fmt.Errorf("%s: %w", *in.Key, err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(io.LimitReader(out.Body, maxObject+1))
	switch {
	case err != nil:
		return object{}, fmt.Errorf("%s: %w", *in.Key, err)
	case len(text) > maxObject:
		return object{}, fmt.Errorf("%s: it has more than %d MiB", *in.Key, maxObject>>20)
	}
	return object{name: name, etag: aws.ToString(out.ETag), text: append([]byte{}, text...)}, nil
}

// put has the copy be as an object is.
func (m *Mirror) put(o object) error {
	file := filepath.Join(m.folder, filepath.FromSlash(o.name))
	switch {
	case o.etag == "":
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove copy: %w", err)
		}
	case o.text != nil:
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return fmt.Errorf("write copy: %w", err)
		}
		if err := atomicfile.Replace(file, o.text); err != nil {
			return fmt.Errorf("write copy: %w", err)
		}
	}
	m.etags[o.name] = o.etag
	return nil
}
