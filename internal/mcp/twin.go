package mcp

import "strings"

// prototype is the name under which JavaScript keeps an object's prototype. JSON.parse makes a plain member of it, but
// a copy of that object, made by assignment, inherits the members of its value as if they were its own.
const prototype = "__proto__"

// twin tells whether some reader takes the one name for the other: encoding/json ignores case, and the Python SDK's
// models take names in snake case too (resource_subscriptions, and meta for _meta).
func twin(name, known string) bool {
	return strings.EqualFold(unscored(name), unscored(known))
}

func unscored(name string) string { return strings.ReplaceAll(name, "_", "") }
