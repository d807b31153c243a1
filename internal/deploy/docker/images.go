package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/imagelock"
)

// Prefix is what the names of images begin with that are made for an engine and are in no registry.
const Prefix = "mcpgateway.local"

// image is what is known of one that the engine has.
type image struct {
	ref  string // as the plan names it
	id   string // what it was when it was looked up: a tag may move meanwhile
	root bool   // it would run as root
	arch string
}

// images knows those of an engine, and fetches what is missing.
type images struct {
	engine *client.Client
	log    *slog.Logger
	done   context.Context

	mu      sync.Mutex
	pulling map[string]bool
	failed  map[string]error // why the last pull did not work
}

func newImages(done context.Context, engine *client.Client, log *slog.Logger) *images {
	return &images{engine: engine, log: log, done: done, pulling: map[string]bool{}, failed: map[string]error{}}
}

// makeShim returns the image of a shim's program, which is made where the engine does not have it.
func (i *images) makeShim(program string) (string, error) {
	made, err := bake.Bake(i.done, nil, bake.Config{Shim: program, Prefix: Prefix, Load: Loader(i.engine),
		Platform: linux(), Logger: i.log})
	return made.Shim, err
}

// linux is what our own programs run on: the kind of machine that this is.
func linux() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// OpenLoader is Loader for the engine at an address, see Config.Engine; close ends the connection to it.
func OpenLoader(ctx context.Context, address string) (load func(ctx context.Context, name string, archive func(io.Writer) error) error, closer io.Closer, err error) {
	engine, err := connect(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	return Loader(engine), engine, nil
}

// Loader returns what puts an archive into an engine, unless it has an image of that name.
func Loader(engine *client.Client) func(ctx context.Context, name string, archive func(io.Writer) error) error {
	return func(ctx context.Context, name string, archive func(io.Writer) error) error {
		if _, err := engine.ImageInspect(ctx, name); err == nil {
			return nil
		}
		r, w := io.Pipe()
		go func() { w.CloseWithError(archive(w)) }()
		defer r.Close()
		loaded, err := engine.ImageLoad(ctx, r)
		if err != nil {
			return fmt.Errorf("load image %s: %w", name, err)
		}
		defer loaded.Close()
		if err := firstProblem(loaded); err != nil {
			return fmt.Errorf("load image %s: %w", name, explain(err))
		}
		_, err = engine.ImageInspect(ctx, name)
		return err
	}
}

// firstProblem reads an answer that is 200 before the engine has begun: what goes wrong then is in its text.
func firstProblem(answer io.Reader) error {
	for messages := json.NewDecoder(answer); ; {
		var m jsonstream.Message
		err := messages.Decode(&m)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case m.Error != nil:
			return m.Error
		}
	}
}

// look returns what is known of an image.
func (i *images) look(ctx context.Context, ref string) (image, error) {
	found, err := i.engine.ImageInspect(ctx, ref)
	if err != nil {
		return image{}, err
	}
	known := image{ref: ref, id: found.ID, arch: found.Architecture, root: true}
	if found.Config != nil {
		user, _ := splitUser(found.Config.User)
		known.root = user == "" || user == "root" || strings.Trim(user, "0") == ""
	}
	return known, nil
}

// of returns the image of each unit of a plan. One that is missing is fetched for the next call.
func (d *Deployer) imagesOf(ctx context.Context, p deploy.Plan) (map[string]image, error) {
	found := map[string]image{}
	for _, u := range p.Units {
		ref, err := d.reference(u)
		if err != nil {
			return nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Message: notConfigured, Cause: fmt.Errorf("unit %s: %w", u.Name, err), RetryAfter: tryAgain})
		}
		one, err := d.images.look(ctx, ref)
		if errdefs.IsNotFound(err) {
			return nil, d.fetching(p.Key(), u, ref)
		}
		if err != nil {
			return nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Cause: fmt.Errorf("%w%s", err, advice(err)), RetryAfter: time.Second})
		}
		found[u.Name] = one
	}
	return found, nil
}

// fetching has a missing image pulled, and is what the caller gets meanwhile.
func (d *Deployer) fetching(key deploy.Key, u deploy.Unit, ref string) error {
	if u.Package != nil || strings.HasPrefix(ref, Prefix+"/") {
		return deploy.Refuse(d.config.Logger, key, deploy.StartError{RetryAfter: tryAgain,
			Cause: fmt.Errorf("the engine does not have image %s any more, and no registry has it; mcpgateway bake makes it", ref)})
	}
	if failed := d.images.pull(ref); failed != nil {
		return deploy.Refuse(d.config.Logger, key, deploy.StartError{RetryAfter: tryAgain, Cause: fmt.Errorf("image %s is missing: %w", ref, failed)})
	}
	return deploy.Refuse(d.config.Logger, key, deploy.StartError{Message: "The server's image is being fetched, try again.", RetryAfter: tryAgain,
		Cause: fmt.Errorf("image %s is being pulled", ref)})
}

// reference is the name of a unit's image.
func (d *Deployer) reference(u deploy.Unit) (string, error) {
	switch {
	case u.Package != nil:
		return d.lockedImage(*u.Package)
	case u.Image == "", u.Image == deploy.ImageShim:
		return d.shim, nil
	}
	return u.Image, nil
}

func (d *Deployer) lockedImage(p deploy.Package) (string, error) {
	if d.config.Lock == "" {
		return "", fmt.Errorf("package %s: there is no lock file", p.Name)
	}
	lines, err := imagelock.Read(d.config.Lock)
	if err != nil {
		return "", err
	}
	if ref := imagelock.Images(lines)[p]; ref != "" {
		return ref, nil
	}
	return "", fmt.Errorf("the lock file %s has no image for package %s; mcpgateway bake makes it", d.config.Lock, p.Name)
}

// pull fetches an image in the background. The error is the last try's, once: the next call tries again.
func (i *images) pull(ref string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.failed[ref]; err != nil {
		delete(i.failed, ref)
		return err
	}
	if i.pulling[ref] {
		return nil
	}
	i.pulling[ref] = true
	go func() {
		err := i.fetch(ref)
		if err != nil {
			i.log.Error("image not fetched", "image", ref, "error", err)
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.pulling, ref)
		if err != nil && i.done.Err() == nil {
			i.failed[ref] = err
		}
	}()
	return nil
}

// told is how often the log says how far a pull is.
const told = 5 * time.Second

func (i *images) fetch(ref string) error {
	i.log.Info("fetching image", "image", ref)
	answer, err := i.engine.ImagePull(i.done, ref, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	defer answer.Close()
	layers, said := map[string][2]int64{}, time.Now()
	for m, err := range answer.JSONMessages(i.done) {
		if err == nil && m.Error != nil {
			err = explain(m.Error)
		}
		if err != nil {
			return err
		}
		if m.Progress != nil && len(layers) < 1000 {
			layers[m.ID] = [2]int64{m.Progress.Current, m.Progress.Total}
		}
		if time.Since(said) > told {
			var have, of int64
			for _, l := range layers {
				have, of = have+l[0], of+l[1]
			}
			i.log.Info("fetching image", "image", ref, "layers", len(layers), "bytes", have, "of", of)
			said = time.Now()
		}
	}
	i.log.Info("fetched image", "image", ref)
	return nil
}

// missing reports whether the engine says that it does not have an image.
func (i *images) missing(ctx context.Context, ref string) bool {
	_, err := i.engine.ImageInspect(ctx, ref)
	return errdefs.IsNotFound(err)
}
