/* Where viewers are served, the page itself gets no WebRTC, and nothing that would ask for camera, microphone
 * or screen: nobody is asked there. Runs before the page's own scripts, in every frame. */
(() => {
	for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection"]) delete globalThis[name];
	for (const name of ["getDisplayMedia", "getUserMedia"])
		if (globalThis.MediaDevices) delete MediaDevices.prototype[name];
	for (const name of ["getUserMedia", "webkitGetUserMedia"]) delete Navigator.prototype[name];
})();
