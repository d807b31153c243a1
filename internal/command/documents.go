package command

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"mcpgateway/internal/documents"
	"mcpgateway/internal/mirror"
)

// Open reads the operator's documents, where they are: as c says, or in a copy of what is in a bucket, which copied keeps. It
// is nil where they are files. Of a platform file, named lists what is read besides.
func Open(bucket *mirror.Location, named func(platform string) []string, c documents.Config) (files *documents.Keeper, copied *mirror.Mirror, err error) {
	if bucket != nil {
		if copied, err = mirror.Start(*bucket, named, c.Logger); err != nil {
			return nil, nil, err
		}
		c.Platform = copied.Platform()
	}
	files, err = documents.Open(c)
	if copied != nil && err == nil {
		copied.Changed = files.Look
	}
	return files, copied, err
}

// Watch has documents read again when they change, and at once at SIGHUP, until ctx ends.
func Watch(ctx context.Context, files *documents.Keeper, copied *mirror.Mirror) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go files.Watch(ctx, documents.Every, hangup)
	if copied != nil {
		go copied.Watch(ctx)
	}
}

// Keeping is handler with a copy of the documents that is kept new by the requests, as where nothing runs between them.
// Documents that are files do not change there: they came with the program.
func Keeping(copied *mirror.Mirror, handler http.Handler) http.Handler {
	if copied == nil {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		copied.Keep(r.Context())
		handler.ServeHTTP(w, r)
	})
}
