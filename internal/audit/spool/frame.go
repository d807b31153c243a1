package spool

import (
	"bytes"
	"hash/crc32"
	"strconv"
)

// A record is one line: its CRC-32C (RFC 3720, appendix B.4) in eight hexadecimal digits, a space, and the record. A
// person can read it, a line that is torn or damaged is known as such, and the next one begins after a line break.

// frameBytes is what a record has around it.
const frameBytes = 8 + 1 + 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendFrame(to, record []byte) []byte {
	const digits = "0123456789abcdef"
	sum := crc32.Checksum(record, castagnoli)
	for shift := 28; shift >= 0; shift -= 4 {
		to = append(to, digits[sum>>shift&15])
	}
	return append(append(append(to, ' '), record...), '\n')
}

// unframe returns the record of a line without its line break.
func unframe(line []byte) ([]byte, bool) {
	sum, record, ok := bytes.Cut(line, []byte{' '})
	if !ok || len(sum) != 8 {
		return nil, false
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	return record, err == nil && uint32(want) == crc32.Checksum(record, castagnoli)
}
