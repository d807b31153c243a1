package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	const events = `
{"Action":"start","Package":"m/a"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"quiet\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestSkip","Output":"=== RUN   TestSkip\n"}
{"Action":"output","Package":"m/a","Test":"TestSkip","Output":"    a_test.go:7: needs root\n"}
{"Action":"output","Package":"m/a","Test":"TestSkip","Output":"--- SKIP: TestSkip (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestSkip"}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"pass","Package":"m/a","Elapsed":1.25}
{"Action":"output","Package":"m/b","Test":"TestBad","Output":"    b_test.go:9: got 1\n"}
{"Action":"fail","Package":"m/b","Test":"TestBad"}
{"Action":"output","Package":"m/b","Output":"FAIL\n"}
{"Action":"fail","Package":"m/b","Elapsed":2}
{"Action":"skip","Package":"m/none"}
{"Action":"build-output","ImportPath":"m/c","Output":"c.go:1: syntax error\n"}
{"Action":"build-fail","ImportPath":"m/c"}
{"Action":"fail","Package":"m/c","FailedBuild":"m/c"}
`
	const want = `ok    m/a                                              1.2 s
    b_test.go:9: got 1
FAIL
FAIL  m/b                                              2.0 s
c.go:1: syntax error
FAIL  m/c                                              0.0 s

1 packages have no tests.

skipped: m/a TestSkip: a_test.go:7: needs root
1 passed, 2 failed, 1 skipped
`
	var out strings.Builder
	r := report{out: &out}
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	r.summary()
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestReportCountsPanic(t *testing.T) {
	var out strings.Builder
	r := report{out: &out}
	err := r.read(strings.NewReader(`{"Action":"output","Package":"m/a","Output":"panic: x\n"}{"Action":"fail","Package":"m/a"}`))
	if err != nil || r.failed != 1 || !strings.Contains(out.String(), "panic: x") {
		t.Errorf("read = %v, failed = %d, out = %q; want the panic shown and counted", err, r.failed, &out)
	}
	if err := r.read(strings.NewReader("not json")); err == nil {
		t.Error("no error for a broken stream")
	}
}
