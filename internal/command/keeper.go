package command

import (
	"io"
	"log/slog"
	"net/http"
	"os"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/mcp"
)

// MainOfKeeper is Main for programs that keep what shims bring. With the arguments "token ID" they are to print the token that
// the shim of a server shows, which shim names then, and to end.
func MainOfKeeper(help string, run func(shim string, stdout io.Writer, log *slog.Logger) error) {
	if code := executeKeeper(os.Args[1:], os.Stdout, os.Stderr, help, run); code != 0 {
		os.Exit(code)
	}
}

func executeKeeper(args []string, stdout, stderr io.Writer, help string, run func(string, io.Writer, *slog.Logger) error) (code int) {
	shim := ""
	if len(args) == 2 && args[0] == "token" && catalog.ValidID(args[1]) {
		shim, args = args[1], nil
	}
	return execute(args, stderr, help, func(log *slog.Logger) error { return run(shim, stdout, log) })
}

// Answer has a route answer one of our own programs. Nothing of it is a page or is kept on the way; an error is the answer,
// and stands in the log under the answer's id.
func Answer(w http.ResponseWriter, r *http.Request, log *slog.Logger, route func(http.ResponseWriter, *http.Request) error) {
	h, id := w.Header(), audit.NewID()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "no-store")
	if err := route(w, r); err != nil {
		known := mcp.AsError(err)
		log.Warn("refused", "request", id, "method", r.Method, "status", known.Status, "error", err)
		known.Write(w, id)
	}
}
