// Command mcpgateway is the operator's command. Each verb calls a package that does the work; nothing is decided here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of every verb.
const (
	exitOK       = 0
	exitProblems = 1
	exitUsage    = 2
)

// A verb is one thing the command does. Its function returns an exit code.
type verb struct {
	name, about string
	run         func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

var verbs = []verb{
	{"run", "run the whole system on this machine", runStack},
	{"status", "show what the servers of a running system do", status},
	{"logs", "print what a server of a cluster logs", logs},
	{"wake", "wake a server of a cluster", wake},
	{"revoke", "end all that a person granted by signing in", revoke},
	{"validate", "check the platform file and the catalog", validate},
	{"bake", "make the images that a cluster runs", bakeImages},
	{"schema", "print the JSON Schema of one of them", printSchema},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return exitOK
	}
	for _, v := range verbs {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "mcpgateway: there is no verb %.40q\n\n", args[0])
	usage(stderr)
	return exitUsage
}

// newFlags makes the flags of a verb, whose help is about with the flags' own lines.
func newFlags(name, about string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), about)
		flags.PrintDefaults()
	}
	return flags
}

// parse reads a verb's arguments. Where the verb is not to go on it says with which exit code it ends.
func parse(flags *flag.FlagSet, args []string) (code int, goOn bool) {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	case err != nil:
		return exitUsage, false
	}
	return exitOK, true
}

// parseOnly is parse for verbs that take flags and nothing else.
func parseOnly(flags *flag.FlagSet, args []string) (code int, goOn bool) {
	code, goOn = parse(flags, args)
	if goOn && flags.NArg() > 0 {
		fmt.Fprintf(flags.Output(), "mcpgateway %s: unexpected argument %.40q\n", flags.Name(), flags.Arg(0))
		return exitUsage, false
	}
	return code, goOn
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: mcpgateway VERB [ARGUMENTS]\n\nVerbs:\n")
	for _, v := range verbs {
		fmt.Fprintf(w, "  %-10s %s\n", v.name, v.about)
	}
	fmt.Fprint(w, "\nmcpgateway VERB --help tells more.\n")
}
