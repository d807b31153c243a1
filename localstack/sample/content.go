package main

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

const (
	aboutURI = "sample://about"
	pixelURI = "sample://pixel.png"
)

// pixel is a PNG of one transparent pixel in base64: a resource that is not text.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="

func addPrompts(s *mcpserver.MCPServer) {
	s.AddPrompt(mcp.NewPrompt("greet",
		mcp.WithPromptDescription("Asks for a greeting to somebody."),
		mcp.WithArgument("name", mcp.RequiredArgument())), greet)
}

func greet(_ context.Context, request mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	text := "Write one friendly sentence that greets " + request.Params.Arguments["name"] + "."
	return mcp.NewGetPromptResult("A greeting", []mcp.PromptMessage{
		mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent(text)),
	}), nil
}

func addResources(s *mcpserver.MCPServer) {
	s.AddResource(mcp.NewResource(aboutURI, "About this server", mcp.WithMIMEType("text/markdown")), readAbout)
	s.AddResource(mcp.NewResource(pixelURI, "One pixel", mcp.WithMIMEType("image/png")), readPixel)
}

func readAbout(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	return []mcp.ResourceContents{mcp.TextResourceContents{
		URI: aboutURI, MIMEType: "text/markdown",
		Text: "# sample-server\n\nIt runs while somebody calls it, and not at all otherwise.\n",
	}}, nil
}

func readPixel(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	return []mcp.ResourceContents{mcp.BlobResourceContents{
		URI: pixelURI, MIMEType: "image/png", Blob: pixel,
	}}, nil
}
