package mcp

// References of completion/complete (MCP 2025-11-25, server/utilities/completion).
const (
	RefPrompt   = "ref/prompt"
	RefResource = "ref/resource"
)

// Target is what a message wants to use.
type Target struct {
	Name Token   // tool or prompt name, resource URI, task id; nil where the method names nothing or the message lacks it
	More []Token // the resource URIs of subscriptions/listen
}

// Target finds what the message wants to use. A method that is not known here names nothing.
func (m *Message) Target() Target {
	p := &m.Params
	switch m.Method {
	case "tools/call", "prompts/get":
		return Target{Name: p.Name}
	case "resources/read", "resources/subscribe", "resources/unsubscribe":
		return Target{Name: p.URI}
	case "completion/complete":
		switch kind, _ := p.RefType.Text(); kind {
		case RefPrompt:
			return Target{Name: p.RefName}
		case RefResource:
			return Target{Name: p.RefURI}
		}
	case "subscriptions/listen":
		return Target{More: p.Subscriptions}
	case "tasks/get", "tasks/result", "tasks/update", "tasks/cancel":
		return Target{Name: p.TaskID}
	}
	return Target{}
}
