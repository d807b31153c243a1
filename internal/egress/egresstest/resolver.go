// Package egresstest has a name server for tests, whose answers a test may change between two look-ups.
package egresstest

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// Resolver returns a resolver that asks a name server of its own, which answers as lookup says. Names come without
// their final dot.
func Resolver(t testing.TB, lookup func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go serve(server, lookup)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func serve(server net.PacketConn, lookup func(string) []netip.Addr) {
	for query := make([]byte, 1500); ; {
		n, from, err := server.ReadFrom(query)
		if err != nil {
			return
		}
		if answer := answer(query[:n], lookup); answer != nil {
			_, _ = server.WriteTo(answer, from)
		}
	}
}

// The parts of a message (RFC 1035, section 4.1).
const (
	headerLength = 12
	flagsAnswer  = 0x8180 // a response, recursion desired and available
	typeA        = 1
	typeAAAA     = 28
	classIN      = 1
	nameOfQuery  = 0xc000 | headerLength // a pointer to the name in the question
)

func answer(query []byte, lookup func(string) []netip.Addr) []byte {
	if len(query) < headerLength {
		return nil
	}
	var labels []string
	at := headerLength
	for at < len(query) && query[at] != 0 {
		end := at + 1 + int(query[at])
		if end >= len(query) {
			return nil
		}
		labels = append(labels, string(query[at+1:end]))
		at = end
	}
	if at+5 > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	var found []netip.Addr
	for _, a := range lookup(strings.Join(labels, ".")) {
		if a.Is4() == (kind == typeA) && (kind == typeA || kind == typeAAAA) {
			found = append(found, a)
		}
	}
	out := append([]byte(nil), query[:2]...)
	for _, field := range []uint16{flagsAnswer, 1, uint16(len(found)), 0, 0} {
		out = binary.BigEndian.AppendUint16(out, field)
	}
	out = append(out, query[headerLength:at+5]...)
	for _, a := range found {
		for _, field := range []uint16{nameOfQuery, kind, classIN, 0, 0, uint16(a.BitLen() / 8)} { // to live for no time
			out = binary.BigEndian.AppendUint16(out, field)
		}
		out = append(out, a.AsSlice()...)
	}
	return out
}
