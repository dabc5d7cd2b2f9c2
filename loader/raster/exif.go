package raster

import (
	"bytes"
	"encoding/binary"
)

// transposed is the first orientation of those that swap rows and columns.
const transposed = 5

// exifPrefix stands before the structure in JPEG, and often in WebP.
const exifPrefix = "Exif\x00\x00"

// Orientation is the EXIF orientation of a JPEG, PNG, WebP or TIFF file, 1 to 8
// (1 is upright), 0 where it says none. Decode leaves it alone.
//
// Source: Exif 2.32, sections 4.5.4 and 4.6.4 (tag 0x0112); PNG third edition,
// section 11.3.4.5 (eXIf); RFC 9649, section 2.7.1.5 (EXIF).
func Orientation(data []byte) int {
	c := sniff(data, codecs)
	if c == nil {
		return 0
	}
	switch c.name {
	case "JPEG":
		return jpegOrientation(data)
	case "PNG":
		const signature, length, name, sum = 8, 4, 4, 4
		for rest := data[signature:]; len(rest) >= length+name+sum; {
			n := int64(binary.BigEndian.Uint32(rest))
			if n > int64(len(rest)-length-name-sum) {
				return 0
			}
			if string(rest[length:length+name]) == "eXIf" {
				return tiffOrientation(rest[length+name:][:n])
			}
			rest = rest[length+name+n+sum:]
		}
	case "WebP":
		for rest := data[riffHeader:]; len(rest) >= chunkHeader; {
			n := int64(binary.LittleEndian.Uint32(rest[4:]))
			if n > int64(len(rest)-chunkHeader) {
				return 0
			}
			if string(rest[:4]) == "EXIF" {
				return tiffOrientation(bytes.TrimPrefix(rest[chunkHeader:][:n], []byte(exifPrefix)))
			}
			rest = rest[min(int64(len(rest)), chunkHeader+n+n&1):]
		}
	case "TIFF":
		return tiffOrientation(data)
	}
	return 0
}

func jpegOrientation(data []byte) int {
	const app1, sos = 0xe1, 0xda
	for rest := data[2:]; len(rest) >= 4 && rest[0] == 0xff; {
		marker := rest[1]
		if marker == 0xff { // a byte that fills
			rest = rest[1:]
			continue
		}
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if marker == sos || n < 2 || n+2 > len(rest) {
			return 0
		}
		if body := rest[4 : n+2]; marker == app1 && bytes.HasPrefix(body, []byte(exifPrefix)) {
			return tiffOrientation(body[len(exifPrefix):])
		}
		rest = rest[n+2:]
	}
	return 0
}

// tiffOrientation looks through the first directory of a TIFF structure.
func tiffOrientation(t []byte) int {
	const header, entry, tag, short = 8, 12, 0x0112, 3
	if len(t) < header {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	if t[0] == 'M' {
		order = binary.BigEndian
	}
	at := uint64(order.Uint32(t[4:]))
	if at+2 > uint64(len(t)) {
		return 0
	}
	entries := t[at+2:]
	for range order.Uint16(t[at:]) {
		if len(entries) < entry {
			return 0
		}
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 0
		}
		entries = entries[entry:]
	}
	return 0
}
