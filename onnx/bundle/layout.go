package bundle

// GraphFile is the file that has the training graph of a layout.
func GraphFile(layout string) string {
	if layout == LayoutNCHWC {
		return BlockedFile
	}
	return TrainFile
}
