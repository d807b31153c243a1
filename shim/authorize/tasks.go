package authorize

import (
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/shim/call"
)

// checkTasks refuses a message about a task that the caller did not start. A task that nobody owns, and one of somebody
// else, are the same to callers. What a task came of must still be allowed: its result would have been refused too.
func (c Checker) checkTasks(x *call.Exchange, m *mcp.Message) error {
	switch m.Method {
	case "tasks/get", "tasks/result", "tasks/update", "tasks/cancel":
		return c.checkTask(x, m, m.Params.TaskID)
	case "subscriptions/listen":
		if len(m.Params.TaskIDs) > policy.MaxURIs {
			return unreadable(m)
		}
		for _, id := range m.Params.TaskIDs {
			if err := c.checkTask(x, m, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c Checker) checkTask(x *call.Exchange, m *mcp.Message, token mcp.Token) error {
	id, ok := token.Text()
	if !ok {
		return unreadable(m)
	}
	tool, ok := c.Tasks.Owner(id, x.Who)
	if !ok {
		return unknownTask(x, m)
	}
	if tool == "" {
		return nil
	}
	view := x.Rules.Policies.View(x.Who, x.Rules.Rules.Server, x.Era.String())
	visible := view.Visible(policy.KindTool, tool)
	c.report(x, view.Fault)
	if !visible {
		return refusal(&x.MCP, m)
	}
	return nil
}

// unknownTask is the refusal of a task that the caller did not start. Of a method that the revision does not have (MCP
// 2026-07-28, tasks extension: tasks/result went) the server says so, whatever task is named; so is said here.
func unknownTask(x *call.Exchange, m *mcp.Message) error {
	e := mcp.Error{Code: mcp.CodeInvalidParams, Message: "Task not found: it ended, was never yours, or the server was restarted since"}
	if x.Era == mcp.Modern && m.Method == "tasks/result" {
		e.Code, e.Message = mcp.CodeMethodNotFound, "Method not found: revision "+mcp.ModernVersion+" has no tasks/result; ask tasks/get"
	}
	return answer(&x.MCP, m, e, "A task in this batch was not found; none of it was sent")
}

// StartsTasks tells whether the answer may hand out a task. A GET stream may deliver the rest of any answer.
func StartsTasks(x *call.Exchange) bool {
	if len(x.MCP.Messages) == 0 {
		return x.Listener()
	}
	for i := range x.MCP.Messages {
		if x.MCP.Messages[i].MayStartTask() {
			return true
		}
	}
	return false
}

// Pass looks at a message of the server for tasks: what it hands out is the caller's from now on, and what it says of a
// task that is not the caller's must not reach them. An error means that it cannot be decided on, and must not either.
func (c Checker) Pass(x *call.Exchange, data []byte) (bool, error) {
	all, err := mcp.ReadTasks(data)
	if err != nil {
		return false, err
	}
	for _, news := range all {
		if news.Started != "" {
			c.Tasks.Start(news.Started, x.Who, startedBy(x))
		}
		if news.Reported != "" {
			if _, ok := c.Tasks.Owner(news.Reported, x.Who); !ok {
				return false, nil
			}
		}
		if news.Related != "" && c.Tasks.Others(news.Related, x.Who) {
			return false, nil
		}
	}
	return true, nil
}

// startedBy is the tool that was called; empty where that is not known, as on a stream that was taken up again.
func startedBy(x *call.Exchange) string {
	if len(x.MCP.Messages) != 1 || x.MCP.Messages[0].Method != "tools/call" {
		return ""
	}
	name, _ := x.MCP.Messages[0].Params.Name.Text()
	return name
}
