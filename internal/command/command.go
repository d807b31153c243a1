// Package command is how our long-running programs begin and end: they take no arguments but --help, are configured by the
// environment and the operator's documents, and log JSON lines to stderr. It knows nothing of what they do.
package command

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// Main prints help where an argument asks for it or is none of the program's, and else runs the program. It ends the process
// where something went wrong: with status 2 for arguments that there are not, with 1 and the error, for people, else.
func Main(help string, run func(*slog.Logger) error) {
	if code := execute(os.Args[1:], os.Stderr, help, run); code != 0 {
		os.Exit(code)
	}
}

func execute(args []string, stderr io.Writer, help string, run func(*slog.Logger) error) (code int) {
	if len(args) > 0 {
		fmt.Fprint(stderr, help)
		if args[0] != "--help" && args[0] != "-h" {
			return 2
		}
		return 0
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	slog.SetDefault(log)
	if err := run(log); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
