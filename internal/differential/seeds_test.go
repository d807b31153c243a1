package differential

import "strings"

// Messages as clients of both eras send them, and answers as servers do.

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},` +
	`"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"progressToken":7}`

var requests = []string{
	`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{}},"clientInfo":{"name":"claude","version":"1.0"}}}`,
	`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
	`{"jsonrpc":"2.0","id":"p-1","method":"ping"}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"n"}}`,
	`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"h\u00e9llo","n":[1,-2.5e3,true,null],"o":{"x":{}}},"_meta":{"progressToken":"t"}}}`,
	`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{"b":"\ud83d"},"task":{"ttl":60000}}}`,
	`{"jsonrpc":"2.0","id":4,"method":"prompts/get","params":{"name":"greet","arguments":{"who":"you"}}}`,
	`{"jsonrpc":"2.0","id":5,"method":"resources/read","params":{"uri":"file:///a/b%20c"}}`,
	`{"jsonrpc":"2.0","id":6,"method":"resources/subscribe","params":{"uri":"test://1"}}`,
	`{"jsonrpc":"2.0","id":6,"method":"resources/unsubscribe","params":{"uri":"test://1"}}`,
	`{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"greet"},"argument":{"name":"who","value":"y"}}}`,
	`{"jsonrpc":"2.0","id":8,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"x://{id}"},"argument":{"name":"id","value":""}}}`,
	`{"jsonrpc":"2.0","id":9,"method":"tasks/get","params":{"taskId":"t-1"}}`,
	`{"jsonrpc":"2.0","id":9,"method":"tasks/result","params":{"taskId":"t-1"}}`,
	`{"jsonrpc":"2.0","id":9,"method":"tasks/cancel","params":{"taskId":"t-1"}}`,
	`{"jsonrpc":"2.0","id":9,"method":"logging/setLevel","params":{"level":"info"}}`,
	`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2,"reason":"user"}}`,
	`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":0.5,"total":1}}`,
	`{"jsonrpc":"2.0","id":1,"result":{"action":"accept","content":{"name":"x"}}}`,
	`{"jsonrpc":"2.0","id":"s1","error":{"code":-1,"message":"no"}}`,
	`[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}},{"jsonrpc":"2.0","method":"notifications/initialized"}]`,
	`{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{` + modernMeta + `}}`,
	`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"},` + modernMeta + `}}`,
	`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"ask","inputResponses":{"q":{"action":"accept"}},"requestState":"op",` + modernMeta + `}}`,
	`{"jsonrpc":"2.0","id":4,"method":"resources/read","params":{"uri":"test://é",` + modernMeta + `}}`,
	`{"jsonrpc":"2.0","id":"l","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a://1","a://2"]},` + modernMeta + `}}`,
	`{"jsonrpc":"2.0","id":5,"method":"prompts/list","params":{` + modernMeta + `}}`,
	`{"jsonrpc":"2.0","id":6,"method":"prompts/get","params":{"name":"gr\u00fcn",` + modernMeta + `}}`,
	`{"jsonrpc":"2.0","id":7,"method":"tasks/cancel","params":{"taskId":"t=?",` + modernMeta + `}}`,
}

// modern are the requests of revision 2026-07-28.
var modern = func() (some []string) {
	for _, r := range requests {
		if strings.Contains(r, modernMeta) {
			some = append(some, r)
		}
	}
	return some
}()

var answers = []string{
	`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","title":"A","inputSchema":{"type":"object","properties":{"name":{"type":"string"}}}},{"name":"b","inputSchema":{"type":"object"}}],"nextCursor":"n"}}`,
	`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[{"name":"b"},{"name":"a"}],"ttlMs":5000,"cacheScope":"public"}}`,
	`{"jsonrpc":"2.0","id":1,"result":{"prompts":[{"name":"a","arguments":[{"name":"x","required":true}]},{"name":"b"}]}}`,
	`{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"a","name":"b","mimeType":"text/plain"},{"uri":"b","name":"a"}]}}`,
	`{"jsonrpc":"2.0","id":1,"result":{"resourceTemplates":[{"uriTemplate":"a","name":"b"},{"uriTemplate":"b/{x}","name":"a"}]}}`,
	`{"jsonrpc":"2.0","id":1,"result":{"contents":[{"uri":"b","text":"\u00e9"}],"ttlMs":1,"cacheScope":"public"}}`,
	`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hi"}],"structuredContent":{"tools":[{"name":"b"}]}}}`,
	`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":2,"tools":[{"name":"b"}]}}`,
	`{"jsonrpc":"2.0","id":"e","method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object"}}}`,
	`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method","data":{"result":1}}}`,
	`[{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"b"}]}},{"jsonrpc":"2.0","method":"notifications/message","params":{}}]`,
}
