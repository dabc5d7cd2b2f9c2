"""Writes orientation6.jpg, whose EXIF says that it is to be turned.

    python exif.py        (Pillow 11 or later)
"""

from PIL import Image

exif = Image.Exif()
exif[0x0110] = "camera"
exif[0x0112] = 6
Image.new("RGB", (8, 4), (200, 30, 60)).save("orientation6.jpg", exif=exif)
