#include "worker-capture/beat.h"

#include <stdio.h>
#include <string.h>

/* Nothing here reads geometry, text or style: no probe forces a layout. What the page could change
 * later is taken before its own scripts run. One animation frame of ours is asked for per beat, never
 * a second one while it is awaited. */
#define BEAT_BODY                                                                                  \
	"const call=globalThis.__ringsideCall;delete globalThis.__ringsideCall;"                   \
	"if(typeof call!=='function'||globalThis!==globalThis.top)return;"                         \
	"const stringify=JSON.stringify,doc=document,"                                           \
	"say=(kind,value)=>call(stringify({kind,value}));"                                         \
	"Object.defineProperty(globalThis,'__ringside',{value:say});"                              \
	"const "                                                                                   \
	"request=requestAnimationFrame.bind(globalThis),"                                          \
	"text=(v,max)=>typeof v==='string'?v.slice(0,max):null;"                                   \
	"let pulses=0,draws=0,lost=0,restored=0,awaited=false;"                                    \
	"globalThis.requestAnimationFrame=function requestAnimationFrame(callback){"               \
	"return request(typeof callback==='function'?t=>{draws++;callback(t);}:callback);};"       \
	"addEventListener('webglcontextlost',()=>{lost++;},true);"                                 \
	"addEventListener('webglcontextrestored',()=>{restored++;},true);"                         \
	"const beat=()=>{"                                                                         \
	"if(!awaited){awaited=true;request(()=>{awaited=false;pulses++;});}"                       \
	"let health=null,bad=false,boot=null,flag=false;"                                          \
	"try{"                                                                                     \
	"const own=globalThis.__RINGSIDE_HEALTH__??globalThis.__HYPERSCAPE_STREAM_RENDERER_HEALTH__;" \
	"if(own!==undefined&&own!==null)health={ready:own.ready===true,"                           \
	"reason:text(own.degradedReason,180),"                                                     \
	"duel:text(own.duelId??own.cycleId,128),phase:text(own.phase,32)};"                        \
	"boot=text(globalThis.__HYPERSCAPE_STREAM_BOOT_STATUS__,180);"                             \
	"flag=globalThis.__HYPERSCAPE_STREAM_READY__===true;"                                      \
	"}catch(e){bad=true;}"                                                                     \
	"call(stringify({beat:{pulses,draws,lost,restored,health,bad,boot,flag,"                   \
	"canvas:doc.getElementsByTagName('canvas').length>0}}));"                                  \
	"};"                                                                                       \
	"setInterval(beat,500);"                                                                   \
	"addEventListener('DOMContentLoaded',beat,{once:true});"

const char *beat_script(bool webrtc_closed)
{
	static const char closed[] =
	        "(()=>{for(const name of ['RTCPeerConnection','webkitRTCPeerConnection'])"
	        "delete globalThis[name];"
	        /* Nobody is asked there when a session may be captured whole. */
	        "for(const name of ['getDisplayMedia','getUserMedia'])"
	        "if(globalThis.MediaDevices)delete MediaDevices.prototype[name];"
	        "for(const name of ['getUserMedia','webkitGetUserMedia'])delete Navigator.prototype[name];"
	        BEAT_BODY "})();";
	static const char open[] = "(()=>{" BEAT_BODY "})();";
	return webrtc_closed ? closed : open;
}

const char *beat_own_prelude(void)
{
	return "(()=>{const call=globalThis.__ringsideCall;delete globalThis.__ringsideCall;"
	       "if(typeof call!=='function'||globalThis!==globalThis.top)return;"
	       "globalThis.__ringside=(kind,value)=>call(JSON.stringify({own:true,kind,value}));})();\n";
}

/* ---- reading one ---- */

static void take_text(char *to, size_t room, const json_t *from)
{
	const char *text = json_string_value(from);
	snprintf(to, room, "%s", text != NULL ? text : "");
	for (char *c = to; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
}

static void take_health(struct health_signals *s, const json_t *beat, uint64_t wall_ms)
{
	const json_t *health = json_object_get(beat, "health");
	const char *boot = json_string_value(json_object_get(beat, "boot"));
	s->unreadable = json_is_true(json_object_get(beat, "bad"));
	s->reports = json_is_object(health);
	s->ready = json_is_true(json_object_get(s->reports ? health : beat,
	                                        s->reports ? "ready" : "flag"));
	s->boots = boot != NULL && *boot != '\0';
	s->broken = boot != NULL && strncmp(boot, "error:", 6) == 0;
	s->canvas = json_is_true(json_object_get(beat, "canvas"));
	s->page = (struct health_page){.at_ms = wall_ms};
	take_text(s->page.duel_id, sizeof s->page.duel_id, json_object_get(health, "duel"));
	take_text(s->page.phase, sizeof s->page.phase, json_object_get(health, "phase"));
	take_text(s->reason, sizeof s->reason,
	          s->reports && !s->broken ? json_object_get(health, "reason")
	                                   : json_object_get(beat, "boot"));
}

bool beat_take(const json_t *beat, struct beat_counts *counts, struct health_signals *signals,
               uint64_t now_ms, uint64_t wall_ms)
{
	const json_t *pulses = json_object_get(beat, "pulses"), *draws = json_object_get(beat, "draws");
	if (!json_is_number(pulses) || !json_is_number(draws))
		return false;
	signals->beat_ms = now_ms;
	if (signals->first_beat_ms == 0)
		signals->first_beat_ms = now_ms;
	if (json_number_value(pulses) != counts->pulses)
		signals->pulse_ms = now_ms;
	if (json_number_value(draws) != counts->draws)
		signals->drawn_ms = now_ms;
	*counts = (struct beat_counts){json_number_value(pulses), json_number_value(draws)};
	double lost = json_number_value(json_object_get(beat, "lost")) -
	              json_number_value(json_object_get(beat, "restored"));
	signals->contexts_lost = lost > 0 ? 1 : 0;
	take_health(signals, beat, wall_ms);
	return true;
}
