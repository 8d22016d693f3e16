"""Opening a file of sound or video by its content."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer

# Containers of sound and video only: every further parser is a door for a hostile file, and
# playlists and scripts, which FFmpeg would follow too, name other files and addresses.
MEDIA = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,apng,asf,au,avi,caf,dts,dv,eac3,flac,flv,gif,h264,hevc,iff,"
    "ivf,loas,m4v,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,oma,rm,swf,tak,"
    "truehd,tta,voc,w64,wav,webm,wtv,wv,xwma"
)
PICTURES = "image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,pgm_pipe,ppm_pipe"
"""What FFmpeg takes for a video of one frame: known, to be refused by name."""


def open_container(path: str, also: str = "") -> "InputContainer":
    """Open what is sound or video, or one of the formats in ``also``.

    Raises:
        av.FFmpegError: if it is none of them.
    """
    import av

    known = f"{MEDIA},{also}" if also else MEDIA
    options = {"format_whitelist": known, "protocol_whitelist": "file"}
    # an absolute path is nothing but a path, whatever colons it holds
    return av.open(os.path.abspath(path), container_options=options, metadata_errors="ignore")
