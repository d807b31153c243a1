package forward

import (
	"bytes"
	"io"
)

// maxHandle bounds, in bytes, the answer that may hand out a task: what is longer is a result.
const maxHandle = 64 << 10

// peekTasks looks whether the answer hands out a task, before a byte of it leaves: whoever holds its id must be known to.
// The answer goes on as it came.
func (a *answer) peekTasks() error {
	body := a.response.Body
	begin, err := io.ReadAll(io.LimitReader(body, maxHandle))
	if err != nil {
		return a.broke(err)
	}
	if len(begin) < maxHandle {
		// What cannot be read hands out nothing, and an answer says nothing of other people's tasks.
		_, _ = a.authorize.Pass(a.exchange, begin)
	}
	a.response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begin), body), body}
	return nil
}
