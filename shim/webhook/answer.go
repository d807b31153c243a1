package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/verdict"
)

// maxReason bounds what is read of a refusal, in bytes.
const maxReason = 64 << 10

// readAnswer says what an answer means. Any 2xx accepts and anything else refuses, but where a JSON body says more in the
// filters' contract. An error means that the body may say more and cannot be read.
func readAnswer(resp *http.Response, most int64) (verdict.Verdict, error) {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refused(resp), nil
	}
	if resp.Header.Get("Content-Encoding") != "" {
		return verdict.Verdict{}, errors.New("the webhook answered with a content encoding that nobody asked for")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return verdict.Verdict{}, &retryableError{cause: fmt.Errorf("the webhook's answer broke off: %w", err)}
	case int64(len(body)) > most:
		return verdict.Verdict{}, fmt.Errorf("the webhook's answer is larger than %d bytes", most)
	}
	return judge(body)
}

// judge reads the body of a 2xx. What is no JSON object cannot be a verdict, and webhooks answer "ok" and the like; what
// begins as one must be one, or a refusal that broke off would accept.
func judge(body []byte) (verdict.Verdict, error) {
	text := bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(text) == 0 || text[0] != '{' {
		return verdict.Verdict{Accept: true}, nil
	}
	v, err := verdict.Parse(body)
	if errors.Is(err, verdict.ErrNone) {
		return verdict.Verdict{Accept: true}, nil
	}
	return v, err
}

// refused finds the reason of a refusal: the contract's, or plain text. HTML and the like are for nobody to read here.
func refused(resp *http.Response) verdict.Verdict {
	v := verdict.Verdict{Reason: fmt.Sprintf("the webhook answered %d", resp.StatusCode)}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReason))
	if err != nil {
		return v
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	said := ""
	switch kind {
	case "application/json":
		if values, err := mcp.Members(body, "reason"); err == nil {
			text, _ := values[0].Text()
			said = verdict.Shown(text)
		}
	case "text/plain":
		said = verdict.Shown(string(body))
	}
	if said != "" {
		v.Reason = said
	}
	return v
}
