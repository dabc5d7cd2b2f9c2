package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"

	"golang.org/x/image/webp"
)

// decodeGIF decodes the first frame, on a canvas of the background where it
// leaves some of it free.
func decodeGIF(data []byte) (image.Image, error) {
	m, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	config, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	frame, ok := m.(*image.Paletted)
	canvas := image.Rect(0, 0, config.Width, config.Height)
	if !ok || frame.Rect == canvas || !frame.Rect.In(canvas) {
		return m, nil
	}
	background := data[11] // of the logical screen descriptor, GIF89a section 18
	whole := image.NewPaletted(canvas, frame.Palette)
	for i := range whole.Pix {
		whole.Pix[i] = background
	}
	for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
		copy(whole.Pix[whole.PixOffset(frame.Rect.Min.X, y):], frame.Pix[frame.PixOffset(frame.Rect.Min.X, y):][:frame.Rect.Dx()])
	}
	if int(background) >= len(whole.Palette) {
		whole.Palette = append(append(color.Palette{}, whole.Palette...), make(color.Palette, int(background)+1-len(whole.Palette))...)
		for i, c := range whole.Palette {
			if c == nil {
				whole.Palette[i] = color.NRGBA{}
			}
		}
	}
	return whole, nil
}

// Chunks of WebP's container (RFC 9649): four letters, the size, the payload,
// filled up to an even number of bytes.
const (
	riffHeader  = 12
	chunkHeader = 8
	frameHeader = 16 // of a chunk ANMF before its own chunks
	animated    = 1 << 1
)

var errFrame = errors.New("no frame that fills the canvas")

// firstFrame turns an animation into a file of its first frame; data that is
// none stays. The frame must fill the canvas.
func firstFrame(data []byte) ([]byte, error) {
	if len(data) < riffHeader+chunkHeader+10 || string(data[12:16]) != "VP8X" || data[20]&animated == 0 {
		return data, nil
	}
	width, height := data[24:27], data[27:30] // less one, 24 bits
	for rest := data[riffHeader:]; len(rest) >= chunkHeader; {
		size := int64(binary.LittleEndian.Uint32(rest[4:]))
		if size > int64(len(rest)-chunkHeader) {
			break
		}
		body := rest[chunkHeader : chunkHeader+size]
		if string(rest[:4]) == "ANMF" {
			if size < frameHeader || !bytes.Equal(body[6:9], width) || !bytes.Equal(body[9:12], height) {
				return nil, errFrame
			}
			return still(body[frameHeader:], width, height), nil
		}
		rest = rest[min(int64(len(rest)), chunkHeader+size+size&1):]
	}
	return nil, errFrame
}

// still is a file of the chunks of one frame.
func still(chunks, width, height []byte) []byte {
	out := []byte("RIFF\x00\x00\x00\x00WEBP")
	if bytes.HasPrefix(chunks, []byte("ALPH")) {
		const alpha = 1 << 4
		out = append(out, "VP8X\x0a\x00\x00\x00"...)
		out = append(out, alpha, 0, 0, 0)
		out = append(append(out, width...), height...)
	}
	out = append(out, chunks...)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

func decodeWebP(data []byte) (image.Image, error) {
	data, err := firstFrame(data)
	if err != nil {
		return nil, err
	}
	return webp.Decode(bytes.NewReader(data))
}
