package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// build says what zips are made of.
type build struct{ module, out, version, commit string }

// tags leave out what no function needs: the remote procedure calls of an old runtime, and traces of gRPC as web pages, for
// whose templates the linker would have to keep every method of every type.
const tags = "lambda.norpc,grpcnotrace"

// zip builds one function for one processor.
func (b build) zip(ctx context.Context, function, processor, compiler string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "bundle")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "bootstrap")
	// Nothing of this machine: no paths, no state of its checkout, no C library, and not what its environment tells Go.
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", tags, "-gcflags=all="+compiler, "-o", program,
		"-ldflags", fmt.Sprintf("-s -w -buildid= -X main.version=%s -X main.commit=%s", b.version, b.commit), "./functions/"+function)
	c.Dir = b.module
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+processor, "GOARM64=v8.0", "GOAMD64=v1", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	return pack("bootstrap", text)
}

// madeAt is when everything in a zip was made: the earliest time that one can say.
var madeAt = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// edge makes the zip of the function at CloudFront's edge, which is a script: Lambda@Edge runs no programs.
func (b build) edge() ([]byte, error) {
	const script = "index.mjs"
	text, err := os.ReadFile(filepath.Join(b.module, "terraform", "edge", script))
	if err != nil {
		return nil, err
	}
	return pack(script, text)
}

// pack puts a program into a zip, as what Lambda starts.
func pack(name string, program []byte) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	head := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: madeAt}
	head.SetMode(0o755)
	f, err := w.CreateHeader(head)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
