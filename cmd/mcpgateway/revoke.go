package main

import (
	"context"
	"fmt"
	"io"

	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/operate"
	"mcpgateway/internal/catalog"
)

const revokeUsage = `Usage: mcpgateway revoke [--platform FILE] USER

Ends all that a person granted to clients by signing in, their API keys, and what their accounts at servers gave: no refresh token of
theirs is good any more, and the last access token ends within ten minutes. USER is the subject (sub) at the provider where people sign in. They can sign in again as long
as the provider lets them: disable them there first. It asks the authorization server, which must run on this machine, or
with oauth.table writes to the table, with the credentials of AWS in its environment.

`

func revoke(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("revoke", revokeUsage, stderr)
	file := flags.String("platform", ".run/platform.yaml", "platform `FILE`, with an oauth section")
	if code, goOn := parse(flags, args); !goOn {
		return code
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return exitUsage
	}
	ended, err := revokeAt(ctx, *file, flags.Arg(0))
	if err != nil {
		fmt.Fprintln(stderr, "mcpgateway revoke:", err)
		return exitProblems
	}
	fmt.Fprintf(stdout, "ended %d grants, %d API keys and %d accounts at servers\n", ended.Grants, ended.Keys, ended.Accounts)
	return exitOK
}

func revokeAt(ctx context.Context, file, user string) (ended grant.Ended, err error) {
	p, err := catalog.LoadPlatform(file)
	if err != nil {
		return ended, err
	}
	if p.OAuth == nil {
		return ended, fmt.Errorf("%s has no oauth section", file)
	}
	person := grant.Person{Issuer: p.OAuth.Provider.URL, Subject: user}
	if p.OAuth.Table != "" {
		return operate.RevokeIn(ctx, p.OAuth.Table, person)
	}
	return operate.Revoke(ctx, p.OAuth.State, person)
}
