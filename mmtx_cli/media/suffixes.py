"""Suffixes of image, video and audio files."""

_IMAGE = (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .avif"
)
_VIDEO = (
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .mpe .m2v .vob .ts .mts .m2ts .wmv .asf .flv .f4v "
    ".3gp .3g2 .ogv .mxf"
)
_AUDIO = (
    ".wav .w64 .flac .mp3 .ogg .oga .opus .m4a .aac .wma .mka .weba .aif .aiff .aifc .au .caf .amr "
    ".ac3"
)
_FOREIGN = (
    ".heic .heif .jxl .jp2 .j2k .jpx .svg .tga .exr .hdr .psd .xcf .ico .dng .cr2 .cr3 .nef .arw "
    ".orf .raf .rw2"
)

SUFFIXES = {
    "image": tuple(_IMAGE.split()),
    "video": tuple(_VIDEO.split()),
    "audio": tuple(_AUDIO.split()),
}
"""Suffixes found when a folder is searched; a file given by name may have any suffix."""

FOREIGN_IMAGES = frozenset(_FOREIGN.split())
"""Suffixes of unsupported image formats, reported as such instead of being read as videos."""
