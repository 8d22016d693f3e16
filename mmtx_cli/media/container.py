"""Open audio and video containers by content, from an allowlist of formats."""

import os
from typing import TYPE_CHECKING

from mmtx_cli.media.shard.member_file import ffmpeg_url
from mmtx_cli.media.shard.reference import is_reference

if TYPE_CHECKING:
    from av.container import InputContainer

# Audio and video containers only: each further parser enlarges the attack surface, and playlists
# and scripts, which FFmpeg would follow, refer to other files and URLs.
MEDIA = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,apng,asf,au,avi,caf,dts,dv,eac3,flac,flv,gif,h264,hevc,iff,"
    "ivf,loas,m4v,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,oma,rm,swf,tak,"
    "truehd,tta,voc,w64,wav,webm,wtv,wv,xwma"
)
PICTURES = "image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,pgm_pipe,ppm_pipe"
"""Image formats that FFmpeg reads as one-frame videos, listed so that they are rejected by name."""


def open_container(path: str, also: str = "") -> "InputContainer":
    """Open an audio or video file, or one of the formats in ``also``.

    Raises:
        av.FFmpegError: if the file has any other format.
    """
    import av

    formats = f"{MEDIA},{also}" if also else MEDIA
    options = {"format_whitelist": formats, "protocol_whitelist": "file"}
    # an absolute path is never parsed as a URL, even if it contains colons
    source = os.path.abspath(path)
    if is_reference(path):
        source, options["protocol_whitelist"] = ffmpeg_url(path), "subfile,file"
    return av.open(source, container_options=options, metadata_errors="ignore")
