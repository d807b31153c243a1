package mcp

import "bytes"

// Names of the tasks of 2025-11-25 (basic/utilities/tasks) and of the extension that followed them.
const (
	TasksExtension  = "io.modelcontextprotocol/tasks"
	metaRelatedTask = "io.modelcontextprotocol/related-task"
)

// TaskNews is what one message of a server says of a task. Ids that are no text are left out.
type TaskNews struct {
	Started  string // the task that an answer hands out in place of a result
	Reported string // the task that a notification is about
	Related  string // the task that a request or notification belongs to, by its _meta
}

// MentionsTask tells whether data may have a member taskId. The name can be written in two ways: as it is, or with escapes.
func MentionsTask(data []byte) bool {
	return bytes.Contains(data, []byte("taskId")) || bytes.Contains(data, []byte(`\u`))
}

// ReadTasks finds what data, a message or a batch of them, says of tasks. An error means that it is no strict JSON.
func ReadTasks(data []byte) ([]TaskNews, error) {
	if !MentionsTask(data) {
		return nil, nil
	}
	parts, _, err := ParseBatch(data)
	if err != nil {
		return nil, err
	}
	var all []TaskNews
	for i := range parts {
		m := Token(parts[i].Raw())
		if len(m) == 0 || m[0] != '{' {
			continue
		}
		news, err := readTask(m)
		if err != nil {
			return nil, err
		}
		if news != (TaskNews{}) {
			all = append(all, news)
		}
	}
	return all, nil
}

func readTask(message Token) (news TaskNews, err error) {
	var method, params, result Token
	if err := message.take([]*Token{&method, &params, &result}, "method", "params", "result"); err != nil {
		return news, err
	}
	var task, kind, id, flat, meta, related Token
	if err := result.take([]*Token{&task, &kind, &flat}, "task", "resultType", "taskId"); err != nil {
		return news, err
	}
	if err := task.take([]*Token{&id}, "taskId"); err != nil {
		return news, err
	}
	news.Started, _ = id.Text()
	if k, _ := kind.Text(); k == "task" {
		news.Started, _ = flat.Text()
	}
	if method == nil {
		return news, nil
	}
	if err := params.take([]*Token{&flat, &meta}, "taskId", "_meta"); err != nil {
		return news, err
	}
	switch name, _ := method.Text(); name {
	case "notifications/tasks/status", "notifications/tasks":
		news.Reported, _ = flat.Text()
	}
	if err := meta.take([]*Token{&related}, metaRelatedTask); err != nil {
		return news, err
	}
	if err := related.take([]*Token{&id}, "taskId"); err != nil {
		return news, err
	}
	news.Related, _ = id.Text()
	return news, nil
}

// take finds members of an object by their names; what is no object has none.
func (t Token) take(out []*Token, names ...string) error {
	if len(t) == 0 || t[0] != '{' {
		return nil
	}
	return t.Members(func(name string, value Token) error {
		for i, n := range names {
			if n == name {
				*out[i] = value
			}
		}
		return nil
	})
}

// MayStartTask tells whether the server may answer a request by a task: the caller asks for one (2025-11-25), or says that
// it knows them (the extension: no other caller may be given one).
func (m *Message) MayStartTask() bool {
	if m.Kind != Request {
		return false
	}
	var extensions, tasks Token
	if m.Params.Capabilities.take([]*Token{&extensions}, "extensions") != nil || extensions.take([]*Token{&tasks}, TasksExtension) != nil {
		return false
	}
	return m.Params.Task != nil || tasks != nil
}
