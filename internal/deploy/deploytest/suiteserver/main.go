// Command suiteserver is the MCP server of the suite that every deployer must pass, for an image.
package main

import "mcpgateway/internal/deploy/deploytest"

func main() { deploytest.Main() }
