package main

import (
	"fmt"

	"mcpgateway/internal/proxytest"
	"mcpgateway/localstack/lambda"
)

// fronts are those of AWS behind which the gateway can run as a function.
var fronts = map[string]lambda.EventKind{"url": lambda.FunctionURL, "rest": lambda.RESTAPI}

func checkFront(name string) error {
	if _, known := fronts[name]; !known && name != "" {
		return fmt.Errorf("lambda %q: there are url and rest", name)
	}
	return nil
}

// lambdaFront is as unkind as AWS's: clients do not see WWW-Authenticate under its name. It is nil where there is none.
func lambdaFront(name string) *lambda.Config {
	if name == "" {
		return nil
	}
	return &lambda.Config{Events: fronts[name], RemapAuthenticate: true}
}

// checkFunction finds what the suite can pass over: processes that ended in the middle of an answer, or were killed.
func checkFunction(front *lambda.Front) error {
	if front == nil {
		return nil
	}
	if b := front.Bill()[proxytest.Function]; b.Failed > 0 || b.TimedOut > 0 || b.Throttled > 0 {
		return fmt.Errorf("the gateway's function did not serve everything: %v", b)
	}
	return nil
}
