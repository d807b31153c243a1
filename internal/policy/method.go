package policy

// class says how a method is decided.
type class uint8

const (
	classOther  class = iota // not in the table: needs a policy that names it in methods
	classPass                // anyone admitted
	classNamed               // needs an allow for the primitive it names
	classRef                 // like classNamed; what it names is a prompt or a resource, as its ref says
	classListen              // anyone admitted, and an allow for each resource it subscribes
)

type method struct {
	class class
	kind  Kind
}

// complete is the method that asks for what could be an argument.
const complete = "completion/complete"

// methods is the method table: every method of the revisions 2024-11-05 to 2026-07-28 that a client sends, the tasks of
// 2025-11-25 and of the extension io.modelcontextprotocol/tasks with them.
var methods = map[string]method{
	"initialize":      {class: classPass},
	"server/discover": {class: classPass},
	"ping":            {class: classPass},

	// A session's own housekeeping: what it changes (log level, the answer to a running call, the client's roots)
	// concerns only the caller's own session.
	"logging/setLevel":                 {class: classPass},
	"notifications/initialized":        {class: classPass},
	"notifications/cancelled":          {class: classPass},
	"notifications/progress":           {class: classPass},
	"notifications/roots/list_changed": {class: classPass},

	// A client's own tasks, which the server made it start (2025-11-25).
	"notifications/tasks/status": {class: classPass},
	// A task belongs to who started it, and to nobody else whatever a policy says. Whose one is only the shim knows, and
	// it sees to that.
	"tasks/get":    {class: classPass},
	"tasks/result": {class: classPass},
	"tasks/update": {class: classPass},
	"tasks/cancel": {class: classPass},
	"tasks/list":   {class: classPass},

	// What the caller may not use is taken out of the answer (Set.Visible).
	"tools/list":               {class: classPass},
	"prompts/list":             {class: classPass},
	"resources/list":           {class: classPass},
	"resources/templates/list": {class: classPass},

	"tools/call":            {class: classNamed, kind: KindTool},
	"prompts/get":           {class: classNamed, kind: KindPrompt},
	"resources/read":        {class: classNamed, kind: KindResource},
	"resources/subscribe":   {class: classNamed, kind: KindResource},
	"resources/unsubscribe": {class: classNamed, kind: KindResource},
	complete:                {class: classRef},
	"subscriptions/listen":  {class: classListen},
}

// InTable reports whether the method table decides a method, so that naming it in an allow's methods changes nothing.
func InTable(method string) bool {
	_, ok := methods[method]
	return ok
}
