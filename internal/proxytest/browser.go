package proxytest

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

var (
	form      = regexp.MustCompile(`(?s)<form ([^>]*)>(.*?)</form>`)
	control   = regexp.MustCompile(`<(input|button) ([^>]*)>`)
	attribute = regexp.MustCompile(`([a-z]+)="([^"]*)"`)
	link      = regexp.MustCompile(`<a (class="button first"[^>]*)>`)
)

// maxPages bounds how far a Browse goes.
const maxPages = 20

// Browse does what a person does in a browser to sign in: it keeps cookies, follows redirects, and presses a button on each
// page with a form, that with the person's name where there is one, and else the first. Where a page has a link in the place of
// one it follows that. It ends at a page with neither.
func Browse(ctx context.Context, address, person string) error {
	_, err := BrowseTo(ctx, NewBrowser(), address, person, "")
	return err
}

// NewBrowser is a browser that nobody has used yet.
func NewBrowser() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails
	return &http.Client{Jar: jar}
}

// BrowseTo is Browse in a browser that is used further. It also ends at a page of the address end, and returns the last page.
func BrowseTo(ctx context.Context, client *http.Client, address, person, end string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	for range maxPages {
		if err != nil {
			return nil, err
		}
		resp, failed := client.Do(req)
		if failed != nil {
			return nil, failed
		}
		page, failed := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if next := link.FindSubmatch(page); next != nil && failed == nil {
			req, err = follow(ctx, resp.Request.URL, attributes(string(next[1]))["href"])
			continue
		}
		found := form.FindSubmatch(page)
		if failed != nil || found == nil || resp.Request.URL.String() == end {
			if resp.StatusCode >= 400 {
				failed = fmt.Errorf("%s answers %s: %.500s", resp.Request.URL, resp.Status, page)
			}
			return page, failed
		}
		req, err = press(ctx, resp.Request.URL, string(found[1]), string(found[2]), person)
	}
	return nil, errors.New("browse: it is led on and on")
}

// follow makes the request of a link.
func follow(ctx context.Context, at *url.URL, href string) (*http.Request, error) {
	to, err := at.Parse(href)
	if err != nil {
		return nil, err
	}
	return http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
}

// press makes the request of a form.
func press(ctx context.Context, at *url.URL, head, body, person string) (*http.Request, error) {
	to, err := at.Parse(attributes(head)["action"])
	if err != nil {
		return nil, err
	}
	fields, pressed := url.Values{}, ""
	for _, c := range control.FindAllStringSubmatch(body, -1) {
		a := attributes(c[2])
		if c[1] == "input" || pressed == "" || a["value"] == person {
			fields.Set(a["name"], a["value"])
		}
		if c[1] == "button" {
			pressed = a["name"]
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(fields.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req, err
}

func attributes(tag string) map[string]string {
	found := map[string]string{}
	for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
		found[a[1]] = html.UnescapeString(a[2])
	}
	return found
}
