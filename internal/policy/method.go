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

// methods is the method table: every method of the revisions 2024-11-05 to 2026-07-28 that a client sends, except
// tasks/*. A task belongs to who started it; until that is kept, tasks/* are decided like any unknown method.
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
	"completion/complete":   {class: classRef},
	"subscriptions/listen":  {class: classListen},
}

// InTable reports whether the method table decides a method, so that naming it in an allow's methods changes nothing.
func InTable(method string) bool {
	_, ok := methods[method]
	return ok
}
