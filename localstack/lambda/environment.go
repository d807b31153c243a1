package lambda

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
)

// What Lambda tells a function of where it runs.
const (
	region  = "eu-central-1"
	account = "123456789012"
	version = "$LATEST"
)

func (f *function) arn() string {
	return "arn:aws:lambda:" + region + ":" + account + ":function:" + f.Name
}

// environ is an instance's environment: Lambda's, the function's, and nothing of ours.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
func (f *function) environ(runtimeAPI string) []string {
	list := []string{
		"AWS_LAMBDA_RUNTIME_API=" + runtimeAPI,
		"AWS_LAMBDA_FUNCTION_NAME=" + f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=" + version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(f.Memory),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME=" + newID(),
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=" + f.keys.id,
		"AWS_SECRET_ACCESS_KEY=" + f.keys.secret,
		"AWS_SESSION_TOKEN=" + f.keys.token,
		"AWS_ENDPOINT_URL_LAMBDA=" + f.invokeAPI,
		"_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=" + filepath.Dir(f.Program),
		"LAMBDA_RUNTIME_DIR=/var/runtime",
		"PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin",
		"LANG=en_US.UTF-8",
		"TZ=:UTC",
	}
	for name, value := range f.Env {
		list = append(list, name+"="+value)
	}
	return list
}

// print writes one line into the function's log. Who cannot read it must not end the function.
func (f *function) print(line string) {
	f.lines.Lock()
	defer f.lines.Unlock()
	fmt.Fprintln(f.Log, line) //nolint:errcheck // see above
}

// maxLine is how much of a line is kept while its end has not come, in bytes.
const maxLine = 64 << 10

// lineWriter takes what an instance prints and writes it by lines.
type lineWriter struct {
	f    *function
	rest []byte // of a line whose end has not come yet
}

// Write implements io.Writer. It never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found && len(w.rest) < maxLine {
			return len(p), nil
		}
		w.f.print(string(line))
		w.rest = bytes.Clone(rest)
	}
}

// close ends a last line that has no end.
func (w *lineWriter) close() {
	if len(w.rest) > 0 {
		w.f.print(string(w.rest))
	}
}
